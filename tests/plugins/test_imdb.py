"""Film reviews, in a tiny folder of the genuine layout."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
import torch
from prunekit_plugins import imdb
from prunekit_plugins.imdb import IMDB, prunekit_datasets, spread, tokens

import prunekit
from prunekit import DataError, Spec, SpecError, testing
from prunekit.data.splits import Batches, prepare
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs.building import build_model
from prunekit.spec.sections import DataOptions

REVIEWS = {
    "train/neg/0_1.txt": "Bad, bad film.<br /><br />It's BAD!",
    "train/neg/1_2.txt": "A dull film",
    "train/pos/0_9.txt": "A good film",
    "train/pos/1_8.txt": "good good good",
    "test/neg/0_1.txt": "bad zebra",
    "test/pos/0_10.txt": "good",
}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "aclImdb"
    for name, text in REVIEWS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    (root / "train" / "neg" / "notes.md").write_text("no review")
    return root


def rows(split):
    return [[token for token in row if token] for row in split.images.tolist()]


def test_the_plugin_offers_imdb():
    assert prunekit_datasets() == {"imdb": IMDB}


def test_tokens_are_words_in_lower_case_and_signs():
    assert tokens("It's GOOD!<br />Dr. Été -- 7/10") == [
        *("it's", "good", "!", "dr", ".", "été", "-", "-", "7", "/", "10"),
    ]


def test_the_vocabulary_is_that_of_training_by_count_and_then_by_word(folder):
    data = IMDB(path=str(folder)).load()  # good 4, bad 3, film 3, a 2, then ! , . dull it's
    good, bad, film, a, bang, comma, dot, dull, its = range(2, 11)
    assert rows(data.train) == [
        [bad, comma, bad, film, dot, its, bad, bang],
        [a, dull, film],
        [a, good, film],
        [good, good, good],
    ]
    assert rows(data.test) == [[bad, 1], [good]]  # zebra is in no training review
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert (data.classes, data.class_names, data.input_shape) == (2, ("neg", "pos"), (8,))
    assert data.train.images.dtype == torch.int32


def test_rare_words_are_unknown_and_long_reviews_are_cut(folder):
    data = IMDB(path=str(folder), words=2, length=4).load()
    assert data.train.images.tolist() == [[3, 1, 3, 1], [1, 1, 1, 0], [1, 2, 1, 0], [2, 2, 2, 0]]


def test_an_empty_review_is_one_unknown_word(folder):
    (folder / "test" / "pos" / "1_7.txt").write_text(" <br /> ")
    assert rows(IMDB(path=str(folder)).load().test)[-1] == [1]


def test_fewer_reviews_are_spread_over_the_films(folder):
    assert spread(list("abcdef"), 3) == ["a", "c", "e"]
    assert spread(list("ab"), 0) == ["a", "b"]
    assert len(IMDB(path=str(folder), per_class=1).load().train) == 2


def test_the_imdb_folder_keeps_the_dataset_contract(folder):
    assert testing.problems("dataset", IMDB(path=str(folder))) == []


def test_the_published_split_has_274_batches():
    labels = torch.arange(25_000) % 2
    split = prunekit.Split(torch.ones(25_000, 1, dtype=torch.int32), labels)
    whole = prunekit.Data(train=split, test=split, classes=2, input_shape=(1,))
    data = prepare(whole, DataOptions(validation=7500), seed=0)
    assert (len(data.train), len(data.validation)) == (17_500, 7500)
    assert len(Batches(data.train, data, 64)) == 274


def test_a_missing_folder_and_a_damaged_review_are_one_line(folder, tmp_path):
    with pytest.raises(DataError, match=r"neg holds no reviews .*dataset\.path"):
        IMDB(path=str(tmp_path / "nowhere")).load()
    (folder / "test" / "pos" / "0_10.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(DataError, match=r"0_10\.txt is no UTF-8"):
        IMDB(path=str(folder)).load()


def archive(folder, file):
    """Write `folder` as an archive with a part that nobody asked for; returns its MD5."""
    with tarfile.open(file, "w:gz") as members:
        members.add(folder, "aclImdb")
        extra = tarfile.TarInfo("aclImdb/train/unsup/0_0.txt")
        members.addfile(extra, io.BytesIO())
    return hashlib.md5(file.read_bytes()).hexdigest()


def test_a_download_is_asked_for_and_whole_or_not_at_all(folder, tmp_path, monkeypatch):
    file, there = tmp_path / "x.tar.gz", tmp_path / "new" / "reviews"
    md5 = archive(folder, file)
    monkeypatch.setattr(imdb, "URL", file.as_uri())
    with pytest.raises(DataError, match=f"its MD5 is {md5}, not 7c2"):
        IMDB(path=str(there), download=True).load()
    assert not there.parent.exists()
    monkeypatch.setattr(imdb, "MD5", md5)
    with pytest.raises(DataError, match="download = true"):
        IMDB(path=str(there)).load()
    assert len(IMDB(path=str(there), download=True).load().train) == 4
    assert [path.name for path in there.parent.iterdir()] == ["reviews"]
    assert not (there / "train" / "unsup").exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(imdb, "URL", (tmp_path / "none.tar.gz").as_uri())
    with pytest.raises(DataError, match="download it elsewhere and unpack it to") as caught:
        IMDB(path=str(tmp_path / "new"), download=True).load()
    assert "\n" not in str(caught.value)


def spec_of(folder, **keys):
    return Spec(
        dataset={"name": "imdb", "path": str(folder)},
        arch={"name": "text", "vocabulary": 12, "embedding": 4, "hidden": 5},
        observers=(),
        device="cpu",
        **keys,
    )


@pytest.mark.parametrize("scorer", ["random", "magnitude", "snip"])
def test_reviews_are_scored_pruned_and_trained(folder, tmp_path, scorer):
    spec = spec_of(
        folder, scorer=scorer, prune={"density": 0.5}, train={"epochs": 1, "batch_size": 2}
    )
    summary = prunekit.run(spec, out=tmp_path / scorer).summary
    assert abs(summary["density"] - 0.5) < 0.01
    assert summary["input_shape"] == [8]


def test_suggestions_are_the_published_training(folder):
    train = resolve(spec_of(folder), Plugins()).spec.train
    assert (train.epochs, train.batch_size, train.lr) == (15, 64, 1.0)


@pytest.mark.parametrize(
    ("arch", "line"),
    [
        ({"name": "text", "vocabulary": 5}, "cannot take tokens below 11 .*IndexError"),
        ({"name": "mlp"}, "cannot take tokens below 11"),
        ({"name": "cifar"}, "take images"),
    ],
)
def test_a_network_that_does_not_take_the_tokens_is_refused(folder, arch, line):
    plan = resolve(Spec(dataset={"name": "imdb", "path": str(folder)}, arch=arch), Plugins())
    with pytest.raises(SpecError, match=line):
        build_model(plan, plan.dataset.load())
