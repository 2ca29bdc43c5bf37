"""imdb: 25,000 training and 25,000 test film reviews, half of them favourable.

Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011,
https://aclanthology.org/P11-1015, its archive aclImdb_v1.tar.gz unpacked:

    PATH/train/{neg,pos}/*.txt    PATH/test/{neg,pos}/*.txt

Tokens: a review in lower case, `<br />` as a space; a word is a run of letters, digits and
underscores, with one apostrophe inside (don't); every other sign that is no space is a token.
Vocabulary: the most frequent words of train/, equal counts in the order of the words (a
validation set is split off train/ later); their ids begin at 2, 1 is every other word, 0 fills
up the rows after a review's end. Rows are as long as the longest review, or `length`.
Suggested training: Chijiwa et al., NeurIPS 2021 (IteRand), https://arxiv.org/abs/2106.09269,
appendix C.6 (batch size: its base, a notebook of Trevett's): 15 epochs of 64, SGD at 1.0. Its
70/30 split, 274 batches, is data.validation = 7500.
Differs from the paper: spaCy's tokens and GloVe's word vectors are not used; the appendix states
neither momentum nor weight decay: both are 0 here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

import prunekit

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
CLASSES = ("neg", "pos")
TOKEN = re.compile(r"\w+(?:'\w+)?|[^\w\s]")
PAD, UNKNOWN, FIRST = 0, 1, 2  # FIRST: the id of the most frequent word


@attrs.frozen
class IMDB:
    """50,000 film reviews as tokens, favourable or not."""

    suggests: ClassVar[dict[str, Any]] = {
        "train.epochs": 15,
        "train.batch_size": 64,
        "train.lr": 1.0,
        "train.momentum": 0.0,
        "train.weight_decay": 0.0,
    }

    path: str = prunekit.option(
        "~/.cache/prunekit/aclImdb", help="the folder that holds train/ and test/", path=True
    )
    download: bool = prunekit.option(False, help="fetch the archive (84 MB) if it is missing")
    words: int = prunekit.option(
        25_000, help="words of the vocabulary", validator=prunekit.at_least(1)
    )
    length: int = prunekit.option(
        0, help="tokens read of a review, from its start; 0 = all", validator=prunekit.at_least(0)
    )
    per_class: int = prunekit.option(
        0,
        help="reviews of each class and split, for a try; 0 = all",
        validator=prunekit.at_least(0),
    )

    def load(self) -> prunekit.Data:
        root = Path(self.path).expanduser()
        if self.download and not root.exists():
            prunekit.fetch_archive(URL, root, md5=MD5, keep=r"aclImdb/(train|test)/(neg|pos)/")
        files = {
            part: [spread(review_files(root / part / name), self.per_class) for name in CLASSES]
            for part in ("train", "test")
        }
        numbers = numbering()
        train, test = (
            [numbered(read(file), numbers) for some in files[part] for file in some]
            for part in ("train", "test")
        )
        ids = ids_of(numbers, torch.cat(train), self.words)
        longest = max(map(len, train + test))
        length = min(self.length or longest, longest)
        return prunekit.Data(
            train=prunekit.Split(rows(train, ids, length), labels(files["train"])),
            test=prunekit.Split(rows(test, ids, length), labels(files["test"])),
            classes=len(CLASSES),
            input_shape=(length,),
            class_names=CLASSES,
        )


def review_files(folder: Path) -> list[Path]:
    """The .txt files of `folder`, sorted by name; DataError when there is none."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise prunekit.DataError(
            f"{folder} holds no reviews (*.txt); set dataset.path to the unpacked aclImdb/, "
            "or dataset.download = true"
        )
    return files


def spread(files: Sequence[Path], count: int) -> list[Path]:
    """`count` files (0 = all) at even distances: neighbours are about one film."""
    if count == 0 or count >= len(files):
        return list(files)
    return [files[i * len(files) // count] for i in range(count)]


def read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise prunekit.DataError(f"{file} is no UTF-8 text ({error.reason}); replace it") from None


def tokens(text: str) -> list[str]:
    """Words and signs in order: "It's GOOD!<br />" -> ["it's", "good", "!"]."""
    return TOKEN.findall(text.lower().replace("<br />", " "))


def numbering() -> dict[str, int]:
    """A mapping that gives each new word the next number, from 0."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers


def numbered(text: str, numbers: dict[str, int]) -> Tensor:
    """The tokens of `text` as their `numbers`; int32 (tokens,)."""
    return torch.tensor([numbers[token] for token in tokens(text)], dtype=torch.int32)


def ids_of(numbers: Mapping[str, int], train: Tensor, words: int) -> Tensor:
    """Number -> id: the `words` most frequent numbers in `train` have ids from FIRST on; int32.

    Equal counts are in the order of the words; what `train` lacks is UNKNOWN.
    """
    counts = train.bincount(minlength=len(numbers)).tolist()
    known = (word for word, number in numbers.items() if counts[number])
    best = sorted(known, key=lambda word: (-counts[numbers[word]], word))[:words]
    ids = torch.full((len(numbers),), UNKNOWN, dtype=torch.int32)
    ids[[numbers[word] for word in best]] = torch.arange(
        FIRST, FIRST + len(best), dtype=torch.int32
    )
    return ids


def rows(reviews: Sequence[Tensor], ids: Tensor, length: int) -> Tensor:
    """int32 (reviews, length): ids, cut off at `length` or filled up with PAD.

    A review without a token is one UNKNOWN.
    """
    filled = torch.full((len(reviews), length), PAD, dtype=torch.int32)
    for row, review in zip(filled, reviews):
        start = ids[review[:length]]
        row[: len(start)] = start
    filled[filled[:, 0] == PAD, 0] = UNKNOWN
    return filled


def labels(files: Iterable[Sequence[Path]]) -> Tensor:
    """The number of the class, as often as it has files; int64."""
    return torch.cat([torch.full((len(some),), label) for label, some in enumerate(files)])


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"imdb": IMDB}
