"""Tickets that earlier versions wrote still give their network: tests/golden/VERSION."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit import tickets
from prunekit.tickets.weights import state_sha256
from tests.tickets.tinytickets import assert_bits, masked_state

GOLDEN = Path(__file__).parents[1] / "golden"
OLD = GOLDEN / "82749b0"
VERSIONS = {"0.1.0": OLD, "0.2.0": GOLDEN / "0903104"}
SAYS = {
    "learned": {
        "coded": "tables", "values": "signs", "weights": 1184, "kept": 592, "bytes": 1362,
        "sha256": "48edea4f57b02f8c04739e40dfb4b4f0d7c01d129a30303155843db58385fe83",
    },
    "odds": {
        "coded": "odds", "values": "draws", "weights": 270_400, "kept": 108_163, "bytes": 49_330,
        "sha256": "c9c6513c2c93c63b54a2853a54432a21f5dafa2310548f3419ef017faf8b0030",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SAYS)
def test_an_old_ticket_says_what_it_said_and_gives_its_bits(name: str) -> None:
    path = OLD / f"{name}.ticket"
    said = tickets.info(path)
    assert {key: said[key] for key in SAYS[name]} == SAYS[name]
    assert state_sha256(tickets.load(path)) == SAYS[name]["sha256"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_ticket_is_the_network_of_its_run(version: str) -> None:
    old = VERSIONS[version]
    assert_bits(tickets.load(old / "learned.ticket").state_dict(), masked_state(old / "learned"))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_folder_gives_the_ticket_that_it_gave(version: str, tmp_path: Path) -> None:
    old = VERSIONS[version]
    tickets.save(old / "learned", tmp_path / "ticket")
    assert (tmp_path / "ticket").read_bytes() == (old / "learned.ticket").read_bytes()
