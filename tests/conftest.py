"""What tests share: one thread, quiet plots, fixed examples, and no GPU tests without a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny nets gain nothing from more; workers do

import hypothesis
import pytest
import torch

from prunekit import tickets
from tests.tickets.tinytickets import redrawn_run

ROOT = Path(__file__).parents[1]

hypothesis.settings.register_profile("prunekit", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("prunekit")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many `-n auto` are: each takes a core and up to 2 GB."""
    return min(os.cpu_count() or 1, 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


def outputs() -> set[Path]:
    """What a command may have left where the tests are started: files, run folders; no caches."""
    seen = {path for path in ROOT.iterdir() if not path.name.startswith((".", "__"))}
    seen = {path for path in seen if path.suffix != ".egg-info" and path.name != "build"}
    return seen | {*(ROOT / "runs").glob("*")}


@pytest.fixture(scope="session", autouse=True)
def clean_checkout() -> Iterator[None]:
    """A test that writes into the checkout is found when the session ends."""
    before = outputs()
    yield
    assert sorted(map(str, outputs() - before)) == [], "a test left these in the checkout"


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory) -> Iterator[None]:
    """What runs remember of code that they name is remembered for these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def redrawn(tmp_path_factory):
    """The folder of a finished run of IteRand; nobody changes it."""
    return redrawn_run(tmp_path_factory.mktemp("tickets") / "run")


@pytest.fixture(scope="session")
def ticket(redrawn):
    """Its ticket; nobody changes it."""
    path = redrawn.parent / "ticket"
    tickets.save(redrawn, path)
    return path
