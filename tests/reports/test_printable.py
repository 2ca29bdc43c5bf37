"""What reaches a terminal from a foreign folder is text, and moves nothing there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from prunekit.cli.entry import main
from prunekit.errors import printable

EVIL = {
    "a colour": "\x1b[31mred\x1b[0m",
    "a title": "\x1b]0;mine\x07",
    "C1": "\x9b31mred\x9d0;mine\x9c",
    "a return": "kept\rlost",
    "a line of its own": "a\nprunekit: all is well",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "right to left": "\u202egpj.exe\u202c \u2066x\u2069",
    "nothing to see": "a\u200b\u200d\ufeffb",
    "half a pair": "\ud800",
    "a tag": "\U000e0041",
    "delete": "\x7f\x08",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; nobody changes it."""
    out = tmp_path_factory.mktemp("printed") / "run"
    argv = ["run", "--scorer", "magnitude", "--arch", "mlp", "--epochs", "0", "--device", "cpu"]
    assert main([*argv, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_foreign_text_is_spelled_out(evil: str) -> None:
    assert printable(evil).isprintable()
    assert printable("conv1.weight é 漢字 ± ×") == "conv1.weight é 漢字 ± ×"


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_names_and_values_of_a_folder_are_printed_as_text(
    evil: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "".join(c for c in evil if c >= " " and c not in "\x7f\ud800")
    folder = tmp_path / f"run{place}"
    shutil.copytree(finished, folder)
    layers = json.loads((folder / "layers.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    layers[0]["name"] = evil
    layers[0][evil] = evil
    summary |= {evil: evil, "survey": evil, "left_out": [evil], "empty": [evil]}
    (folder / "layers.json").write_text(json.dumps(layers))
    (folder / "summary.json").write_text(json.dumps(summary))
    with open(folder / "spec.toml", "a", encoding="utf-8") as spec:
        spec.write(f'\n[published]\nsource = "x{place}"\n')
    with open(folder / "metrics.jsonl", "a") as metrics:
        metrics.write(json.dumps({"kind": evil, evil: 1}) + "\n")
    capsys.readouterr()
    for argv in (
        ["show", str(folder)],
        ["compare", str(folder), str(finished), "--out", str(tmp_path / "plot.png")],
        ["eval", str(folder / evil)],
        ["run", str(folder / evil)],
        [evil],
    ):
        main(argv)
        out, err = capsys.readouterr()
        for line in (out + err).split("\n"):
            assert line.isprintable(), line
        assert not [line for line in out.split("\n") if line.startswith("prunekit: all is well")]
    (folder / "summary.json").unlink()
    assert main(["show", str(folder)]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))
