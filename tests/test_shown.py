"""What README and tutorial show of commands' output is what the commands print."""

from __future__ import annotations

import pytest
import shown

README, TUTORIAL = shown.PAGES


def assert_shown(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    told = [shown.differences(*both) for both in shown.carried_out(page.read_text("utf-8"))]
    assert told, "nothing is shown"
    assert told == [[]] * len(told), "see what changed; `python docs/shown.py` writes it anew"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_run_prints_what_the_readme_shows(tmp_path, monkeypatch):
    assert_shown(README, tmp_path, monkeypatch)


@pytest.mark.slow
def test_the_commands_of_the_tutorial_print_what_it_shows(tmp_path, monkeypatch):
    assert_shown(TUTORIAL, tmp_path, monkeypatch)
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()
    assert (tmp_path / "runs" / "first.png").is_file()


def test_lines_are_alike_whose_words_are_the_same_and_whose_numbers_are_near():
    assert shown.alike("  kept   36,768", " kept 36,100")
    assert shown.alike("accuracy 0.9916 ± 0.01 ───", "accuracy 0.96 ± 0.03 ─")
    assert not shown.alike("kept 36,768", "kept 16,768")
    assert not shown.alike("kept 36,768", "held 36,768")
    assert not shown.alike("shape 1×8×8", "shape 1×8")


def test_a_line_more_or_less_is_a_difference():
    assert shown.differences("a\nb\n", "a\nb\n") == []
    assert shown.differences("a\n", "a\nb\n") == ["shown '', printed 'b'"]
    assert shown.differences("a\nb\n", "a\n") == ["shown 'b', printed ''"]


def test_only_what_a_printed_block_needs_is_carried_out(monkeypatch):
    calls = []
    monkeypatch.setattr(shown, "printed_by", lambda command: calls.append(command) or "out\n")
    page = (
        "```sh\npip install . && prunekit run\n```\n<!-- printed -->\n```text\nold\n```\n"
        "```sh\nprunekit never\n```\n"
    )
    assert list(shown.carried_out(page)) == [("old\n", "out\n")]
    assert calls == ["prunekit run"]


def test_a_star_stands_for_the_folders_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snip-0.1-9b2dee").mkdir()
    assert shown.expanded("snip-0.1-*") == ["snip-0.1-9b2dee"]
    assert shown.expanded("snip") == ["snip"]
