"""R17: a damaged data set is refused before training, by the name of the file."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trusted.forks import ran
from trusted.images import write_folder
from trusted.kills import to_text
from trusted.rows import SHOWN, Row

Damage = Callable[[Path], object]
FILE = "train/class-1/2.png"
IMAGES: dict[str, tuple[str, Damage]] = {
    "empty": (FILE, lambda root: (root / FILE).write_bytes(b"")),
    "truncated": (FILE, lambda root: shortened(root / FILE)),
    "no image": (FILE, lambda root: (root / FILE).write_text("hello")),
    "flipped": (FILE, lambda root: flipped(root / FILE)),
    "a bomb": (FILE, lambda root: bomb(root / FILE)),
    "missing class": ("class-2", lambda root: shutil.rmtree(root / "test" / "class-2")),
    "empty class": ("class-3", lambda root: (root / "train" / "class-3").mkdir()),
}
BAD = ("empty", "truncated", "no image")
SKIPPED = len(BAD)


def shortened(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)


def bomb(path: Path) -> None:
    """20,000 x 20,000 white pixels, in few bytes."""
    from PIL import Image

    Image.new("1", (20_000, 20_000)).save(path)


def damaged_data(count: int, place: Path) -> Row:
    """R17: files of a folder of images, archives of published sets, and `data.skip_bad`."""
    wrong = []
    for number, (what, (named, damage)) in enumerate(list(IMAGES.items())[:count]):
        root = place / f"images-{number}"
        write_folder(root, classes=3, train=6, test=2)
        damage(root)
        code, said = run_on({"name": "folder", "path": str(root)}, place)
        if code != 2 or named not in said or "Traceback" in said:
            wrong.append(f"{what}: exit {code}: {said[-200:]}")
    wrong += archives(place) + skipped(place)
    done = min(count, len(IMAGES)) + 3
    figure = f"{done - len(wrong)} of {done} refused by name or counted"
    return figure + "".join(f"; {w}" for w in wrong[:SHOWN]), f"{done} of {done}", not wrong


def run_on(dataset: dict[str, Any], place: Path, **data: Any) -> tuple[int, str]:
    """Exit code and words of a short run on a data set."""
    spec = {"observers": [], "device": "cpu", "arch": {"name": "mlp", "hidden": [4]}}
    spec |= {"dataset": dataset, "scorer": "magnitude", "train": {"epochs": 1, "batch_size": 8}}
    spec |= {"data": {"workers": 0, **data}}
    (place / "data.toml").write_text(to_text(spec))
    shutil.rmtree(place / "run", ignore_errors=True)
    return ran("run", place / "data.toml", "--out", place / "run", log=place / "log")


def archives(place: Path) -> list[str]:
    """Files of MNIST and CIFAR-10 that are not the published ones."""
    mnist, cifar = place / "MNIST" / "raw", place / "cifar-10-batches-py"
    mnist.mkdir(parents=True)
    for part in ("train", "t10k"):
        for name in ("images-idx3", "labels-idx1"):
            (mnist / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(b"\0" * 900)[:-9])
            (mnist / f"{part}-{name}-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    cifar.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (cifar / name).write_bytes(b"\x80\x04" + b"x" * 100)
    found = []
    for name in ("mnist", "cifar10"):
        code, said = run_on({"name": name, "path": str(place), "download": False}, place)
        if code != 2 or str(place) not in said or "Traceback" in said:
            found.append(f"{name}: exit {code}: {said[-200:]}")
    return found


def skipped(place: Path) -> list[str]:
    """Three bad files: two may not be skipped, three may, and the summary counts them."""
    root = place / "bad"
    write_folder(root, classes=3, train=6, test=2)
    for number, what in enumerate(BAD):
        IMAGES[what][1](root)
        (root / FILE).rename(root / "train" / "class-0" / f"bad-{number}.png")
        shutil.copy(root / "train" / "class-1" / "3.png", root / FILE)
    dataset = {"name": "folder", "path": str(root)}
    few, said = run_on(dataset, place, skip_bad=SKIPPED - 1)
    enough, words = run_on(dataset, place, skip_bad=SKIPPED)
    if few != 2 or "bad-" not in said:
        return [f"skip_bad {SKIPPED - 1}: exit {few}: {said[-200:]}"]
    if enough:
        return [f"skip_bad {SKIPPED}: exit {enough}: {words[-200:]}"]
    summary = json.loads((place / "run" / "summary.json").read_text())
    counted = [key for key, value in summary.items() if "skip" in key or ("bad" in key and value)]
    return [] if counted else ["summary.json does not count what was skipped"]
