"""Write the recipes of this folder: `python examples/iterand/make.py`. The tests compare them.

A recipe is the spec of one cell of a table in Chijiwa, Yamaguchi, Ida, Umakoshi & Inoue, NeurIPS
2021, https://arxiv.org/abs/2106.09269 (IteRand), its appendix, with the paper's figure beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli_w
from iterand_tables import (
    INITS,
    PERIODS,
    PRUNED,
    PRUNED_6,
    PRUNED_7,
    RATES,
    SECONDS_5,
    TABLE_3,
    TABLE_4,
    TABLE_7,
    TABLE_8,
    TABLE_9,
    TABLE_10,
    WIDTHS,
)

FOLDER = Path(__file__).parent
Table = dict[str, Any]

LR_CONV6 = "The paper states a learning rate of 0.2; its published results were trained with 0.3."
OPENLTH = (
    "Hyperparameters are not stated: optimizer, schedule and data are OpenLTH's defaults, and",
    "IteRand's period and rate are those of the other CIFAR-10 tables.",
)
TABLES_IMP = (
    '"IMP with 3 retraining" is not defined further: here three rounds of training, pruning and',
    "rewinding to the initial weights, then the last training. Other settings: OpenLTH's defaults.",
)
TEXT = (
    "Not stated, so chosen: batches of 64 and a 70/30 split (Trevett's notebook), no momentum, no",
    "weight decay, the cosine schedule of the other tables; every matrix is masked.",
)


@attrs.frozen
class Recipe:
    """A file: its table and name, what its first lines say, and its spec."""

    name: str
    says: tuple[str, ...]
    spec: Table

    def text(self) -> str:
        n = self.spec.get("published", {}).get("n", 3 if self.spec["dataset"] == "cifar10" else 1)
        seeds = f" --seeds {n}" if n > 1 else ""
        lines = [*self.says, f"prunekit run examples/iterand/{self.name}.toml{seeds}"]
        return "".join(f"# {line}\n" for line in lines) + "\n" + tomli_w.dumps(self.spec)


def make(
    name: str, title: str, init: str, parts: Mapping[str, Any], says: tuple[str, ...] = ()
) -> Recipe:
    """`parts`: what is special to the recipe; seed and init come first in its file."""
    where = title.partition(":")[0]
    published = {"source": where, **parts.get("published", {})}
    spec = {"seed": 1, "init": INITS[init], **parts, "published": published}
    return Recipe(name, (f"{title}.", *says), spec)


def method(name: str, pruned: float, *, rate: float = 0.1, period: int = 300) -> Table:
    """How a network is found: by SGD on all weights, or by scores, with redraws or without."""
    if name == "sgd":
        return {"scorer": "magnitude", "prune": {"density": 1.0}}
    parts: Table = {"scorer": "edge-popup"}
    if name == "iterand":
        parts["reinit"] = {"name": "iterand", "rate": rate, "period": period}
    return {**parts, "prune": {"density": round(1 - pruned, 12)}}


def accuracy(figure: str, n: int | None = None) -> Table:
    """ "88.8±0.2" in % -> mean and std in 0-1."""
    mean, _, std = figure.partition("±")
    table: Table = {"metric": "test.accuracy", "mean": round(float(mean) / 100, 6)}
    if std:
        table["std"] = round(float(std) / 100, 6)
    return {**table, "n": n} if n else table


def rows(table: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """(network, method, init, figures) of each line."""
    for line in table.strip().splitlines():
        network, how, init, *figures = line.split()
        yield network, how, init, figures


def cifar10(network: str, width: float, how: str, pruned: float, **redraw: Any) -> Table:
    """Training on CIFAR-10 as in Tables 3, 5, 6 and 8: the last epoch is tested."""
    lr, decay = 0.1, 5e-4
    if network == "conv6":
        lr, decay = (0.01 if how == "sgd" else 0.3), 1e-4
    return {
        "arch": {"name": "cifar", "model": network, "width": width},
        "dataset": "cifar10",
        **method(how, pruned, **redraw),
        "data": {"augment": "pad-resized-crop", "validation": 5000},
        "train": {**sgd(100, lr, decay), "schedule": "cosine", "rate_per": "epoch"},
    }


def sgd(epochs: int, lr: float, decay: float, batch: int = 128, momentum: float = 0.9) -> Table:
    return {
        "epochs": epochs,
        "batch_size": batch,
        "lr": lr,
        "momentum": momentum,
        "weight_decay": decay,
    }


def notes(network: str, how: str) -> tuple[str, ...]:
    return (LR_CONV6,) if network == "conv6" and how != "sgd" else ()


def table_3() -> Iterator[Recipe]:
    for network, how, init, figures in rows(TABLE_3):
        for width, figure in zip(WIDTHS, figures, strict=True):
            parts = cifar10(network, width, how, PRUNED[network])
            parts["published"] = accuracy(figure, n=3)
            name = f"table3/{network}-rho{width:g}-{init}-{how}"
            title = f"IteRand, Table 3: {network}, width factor {width:g}, {INITS[init]}, {how}"
            yield make(name, title, init, parts, notes(network, how))


def imagenet(arch: Table, how: str) -> Table:
    """105 epochs: 5 of warm-up, 95 of cosine, 5 at 1e-5; 1 % of the training set is held out."""
    schedule = {"schedule": "cosine", "rate_per": "epoch", "warmup": 5.0}
    return {
        "arch": arch,
        "dataset": "imagenet",
        **method(how, 0.7, period=1000),
        "data": {"augment": "flip-crop", "validation": 12811},
        "train": {**sgd(105, 0.1, 1e-4), **schedule, "final_epochs": 5, "final_lr": 1e-5},
    }


def tables_4_and_9() -> Iterator[Recipe]:
    for number, table in ((4, TABLE_4), (9, TABLE_9)):
        for network, how, init, (figure,) in rows(table):
            arch: Table = {"name": "torchvision", "model": network}
            width = 2.0 if number == 9 else 1.0
            if network != "wide_resnet50_2":
                arch = {"name": "cifar", "model": network, "stem": "imagenet", "width": width}
            parts = imagenet(arch, how) | {"published": accuracy(figure)}
            wide = "-rho2" if arch.get("width") == 2 else ""
            title = f"IteRand, Table {number}: {network}{wide}, ImageNet, {INITS[init]}, {how}"
            yield make(f"table{number}/{network}{wide}-{init}-{how}", title, init, parts)


def table_5() -> Iterator[Recipe]:
    """Seconds of one training of resnet18 on the authors' GPU."""
    says = ("The figure is seconds on the authors' machine; the distribution is not stated.",)
    for how, seconds in SECONDS_5.items():
        parts = cifar10("resnet18", 1.0, how, PRUNED["resnet18"])
        parts["published"] = {"metric": "seconds", "mean": seconds}
        init = "ku" if how == "sgd" else "sc"
        title = f"IteRand, Table 5: resnet18, {how}, training time"
        yield make(f"table5/resnet18-{how}", title, init, parts, says)


def table_6() -> Iterator[Recipe]:
    """Pruned shares; the paper's cells are empty."""
    for network in ("conv6", "resnet18"):
        for how in ("iterand", "edge-popup"):
            for pruned in PRUNED_6:
                parts = cifar10(network, 1.0, how, pruned)
                title = f"IteRand, Table 6: {network}, {pruned:g} pruned, {how}"
                name = f"table6/{network}-p{pruned:g}-{how}"
                yield make(name, title, "sc", parts, notes(network, how))


def table_7() -> Iterator[Recipe]:
    """OpenLTH's vgg11 and resnet20: iterative magnitude pruning against strong tickets."""
    for network, how, init, figures in rows(TABLE_7):
        for pruned, figure in zip(PRUNED_7, figures, strict=True):
            parts = {
                "arch": {"name": "cifar", "model": network},
                "dataset": "cifar10",
                **(imp(network, pruned) if how == "imp" else method(how, pruned)),
                "data": {"augment": "flip-crop"},
                "train": {**sgd(160, 0.1, 1e-4), "schedule": "step", "milestones": [0.5, 0.75]},
                "published": accuracy(figure),
            }
            title = f"IteRand, Table 7: {network}, {pruned:g} pruned, {how}"
            says = TABLES_IMP if how == "imp" else OPENLTH
            yield make(f"table7/{network}-p{pruned:g}-{how}", title, init, parts, says)


def imp(network: str, pruned: float) -> Table:
    """Three rounds, each pruning the same share of what is left; vgg11's last layer stays whole."""
    prune: Table = {"density": round(1 - pruned, 12), "allocation": "global"}
    if network == "vgg11":
        prune["exclude"] = ["*.2.weight"]  # the only linear layer, in any image size
    rounds = {"count": 3, "schedule": "exponential", "epochs": 160, "rewind": "init"}
    return {"scorer": "magnitude", "prune": prune, "rounds": rounds}


def table_8() -> Iterator[Recipe]:
    for how, figures in TABLE_8.items():
        for width, figure in figures.items():
            parts = cifar10("resnet18", width, how, 0.6) | {"published": accuracy(figure)}
            title = f"IteRand, Table 8: resnet18, width factor {width:g}, {how}"
            yield make(f"table8/resnet18-rho{width:g}-{how}", title, "ku", parts)


def table_10() -> Iterator[Recipe]:
    for network, how, init, (figure,) in rows(TABLE_10):
        lr = 1.0 if how == "sgd" else 2.5
        train = sgd(15, lr, 0.0, batch=64, momentum=0.0)
        parts = {
            "arch": {"name": "text", "model": network},
            "dataset": {"name": "imdb", "download": True},
            **method(how, 0.5, rate=1.0, period=45),
            "data": {"validation": 7500},
            "train": {**train, "schedule": "cosine", "rate_per": "epoch"},
            "published": accuracy(figure, n=5),
        }
        yield make(f"table10/{network}-{how}", f"IteRand, Table 10: {network}, IMDB, {how}",
                   init, parts, TEXT)  # fmt: skip


def figures() -> Iterator[Recipe]:
    """Appendix C.1: the period alone, then period x rate. The figures print no numbers."""
    guess = "The weights' distribution is not stated; the paper's best, signed-constant, stands in."
    for network in ("conv6", "resnet18"):
        for period in PERIODS:
            parts = cifar10(network, 1.0, "iterand", PRUNED[network], period=period)
            title = f"IteRand, appendix, Figure 1: {network}, period {period}"
            says = (guess, *notes(network, "iterand"))
            yield make(f"figure1/{network}-kper{period}", title, "sc", parts, says)
    for period in PERIODS[:-1]:
        for rate in RATES:
            parts = cifar10("resnet18", 1.0, "iterand", 0.6, period=period, rate=rate)
            title = f"IteRand, appendix, Figure 2: resnet18, period {period}, rate {rate:g}"
            yield make(f"figure2/resnet18-kper{period}-r{rate:g}", title, "sc", parts, (guess,))


def sixty_four_pixels() -> Iterator[Recipe]:
    """ResNet-18 on 64-pixel images; the paper has no such table."""
    says = ("No figure is published; hyperparameters are those of resnet18 on CIFAR-10.",)
    for how, init in (("iterand", "sc"), ("edge-popup", "sc"), ("sgd", "ku")):
        parts = cifar10("resnet18", 1.0, how, 0.6)
        parts |= {"dataset": "tiny-imagenet", "data": {"augment": "flip-crop"}}
        title = f"IteRand on 64-pixel images: resnet18, Tiny ImageNet, {how}"
        recipe = make(f"tiny-imagenet/resnet18-{how}", title, init, parts, says)
        del recipe.spec["published"]
        yield recipe


def recipes() -> dict[str, str]:
    """Path below this folder, a folder for each table -> text of every recipe."""
    tables = (table_3, tables_4_and_9, table_5, table_6, table_7, table_8, table_10)
    makers = (*tables, figures, sixty_four_pixels)
    return {f"{recipe.name}.toml": recipe.text() for maker in makers for recipe in maker()}


if __name__ == "__main__":
    for name, text in recipes().items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
