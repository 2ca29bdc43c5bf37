"""The page of runs: what it says is what the files say, and what they say can do nothing."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from prunekit.reports.page.differences import differences
from prunekit.reports.page.failures import LENGTH, LINES, MOST, failures, last_lines
from prunekit.reports.page.layers import heats
from prunekit.reports.page.origins import mixed, origins
from prunekit.reports.tidy import Row
from tests.reports.pages import Reader, page_of
from tests.reports.written import accuracy, write_run, write_study

PUBLISHED = {"source": "A paper, Table 1", "metric": "test.accuracy", "mean": 0.95, "std": 0.01}


def test_a_cell_says_mean_spread_least_and_how_many(tmp_path: Path) -> None:
    """0.98 - 0.012 / 0.5^0.7 = 0.961 at seed 1, and 0.004 less and more at seeds 0 and 2."""
    rows = Reader(page_of(write_study(tmp_path / "study", ["random"], [0.5, 0.1]))).rows
    heads = ["prune.density", "n", "test.accuracy", "min test.accuracy"]
    assert [row for row in rows if row[:4] == heads] != []
    assert ["0.5", "3", "0.961 ± 0.004", "0.957"] in [row[:4] for row in rows]


def test_a_published_figure_stands_beside_what_was_measured(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", ["random", "snip"], [0.5])
    study = json.loads((folder / "sweep.json").read_text())
    for trial in study["trials"][:3]:
        trial["published"] = PUBLISHED
    (folder / "sweep.json").write_text(json.dumps(study))
    rows = Reader(page_of(folder)).rows
    (line,) = [row for row in rows if row[:3] == ["random", "3", "0.961 ± 0.004"]]
    assert "0.95 ± 0.01" in line
    assert f"{(accuracy(0, 0.5, 1) - 0.95) / 0.01:+.1f} σ" in line  # +1.1 published deviations


def test_a_control_is_subtracted_in_a_column(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", ["snip", "shuffled"], [0.5])
    study = json.loads((folder / "sweep.json").read_text())
    for trial in study["trials"]:
        shuffled = trial["cell"].pop("method") == "shuffled"
        trial["cell"]["prune.control"] = "shuffle" if shuffled else "none"
    (folder / "sweep.json").write_text(json.dumps(study))
    page = page_of(folder)
    rows = Reader(page).rows
    (heads,) = [row for row in rows if "minus shuffle" in row]
    (line,) = [row for row in rows if row[:2] == ["none", "3"] and len(row) == len(heads)]
    said = "Not better than a control by more than both standard deviations: "
    assert f"{said}the method: test.accuracy 0.961 ± 0.004, under shuffle 0.964 ± 0.004" in page
    less = accuracy(0, 0.5, 0) - accuracy(1, 0.5, 0)
    assert line[heads.index("minus shuffle")].startswith(f"{less:.4g} ±")


def test_failures_have_their_code_reason_and_the_end_of_their_log(tmp_path: Path) -> None:
    page = page_of(write_study(tmp_path / "study", ["snip", "grasp"], [0.5], failing=["grasp"]))
    text = html.unescape(page)
    assert "3 of 6 runs failed" in text
    assert "3 runs: exit code 6: grasp: the loss is NaN at step 12" in text
    assert "grasp, seed 0; grasp, seed 1; grasp, seed 2" in text
    assert "epoch 39: loss 117.0" in text
    assert "epoch 20: loss 60.0" not in text  # 20 lines, the last of which is the reason
    assert ["grasp", "0 of 3, 3 failed", "-"] in [row[:3] for row in Reader(page).rows]


def test_what_is_not_finished_left_out_or_orphaned_is_said(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "study",
        ["random", "snip"],
        orphaned=["old-0.1-aaaaaa/seed-0"],
        left_out=[{"cell": {"method": "dense"}, "reason": "nothing to shuffle"}],
    )
    (next(folder.glob("0-*/seed-0")) / "summary.json").unlink()
    page = page_of(folder)
    text = html.unescape(page)
    assert "1 of 12 runs are not finished; they are in no mean." in text
    assert "Left out: dense: nothing to shuffle" in text
    assert "old-0.1-aaaaaa/seed-0" in text
    assert ["random", "0.5", "2 of 3"] in [row[:3] for row in Reader(page).rows]


def test_runs_of_other_code_are_marked(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", ["snip"], [0.5])
    study = json.loads((folder / "sweep.json").read_text())
    study["trials"][1]["changed"] = ["scorer"]
    (folder / "sweep.json").write_text(json.dumps(study))
    page = page_of(folder)
    assert "† 1 run of other code (scorer) than when the sweep last began" in page
    rows = [row for row in Reader(page).rows if "done†" in row]
    assert [row[0] for row in rows] == ["2"]


def test_a_layer_over_seeds_says_its_density_its_collapse_and_its_dead_weights() -> None:
    def layer(kept: int, dead: int = 0) -> dict[str, object]:
        facts = {"total": 10, "kept": kept, "density": kept / 10, "dead": dead}
        return {"name": "a", "shape": [10], **facts}

    (table,) = heats({"alive": [[layer(4, 1)], [layer(6)]], "empty": [[layer(0)], [layer(2)]]})
    alive, empty = (row.cells[0] for row in table.rows)
    assert (alive.text, alive.dead, alive.collapsed) == ("0.5", "10 %", False)
    assert (empty.text, empty.dead, empty.collapsed) == ("∅ 1 of 2", "", True)
    assert empty.says == "a: density 0.1, n = 2; collapsed in 1 of 2 runs"


def test_collapse_stands_at_the_head_of_the_page(tmp_path: Path) -> None:
    text = page_of(write_study(tmp_path / "study", ["snip"], [0.5, 0.02]))
    assert "Layer collapse in 3 of 6 runs: 3.weight in 3." in text


def test_a_difference_of_specs_names_each_value_and_what_decides_it() -> None:
    def run(method: str, density: str, **scorer: object) -> tuple[dict[str, str], str, dict]:
        cell = {"density": density, "method": method}
        return cell, f"{method}, {density}", {"scorer": {"name": "s", **scorer}, "seed": 0}

    runs = [run("a", "0.5", batches=1), run("b", "0.5", batches=2), run("b", "0.1", batches=2)]
    (fact,) = differences(runs)
    assert fact.key == "scorer.batches"
    assert [(v.text, v.count, v.which) for v in fact.values] == [("1", 1, "a"), ("2", 2, "b")]
    (fact,) = differences([*runs, run("a", "0.1")])  # no key alone decides it
    assert [(v.text, v.which) for v in fact.values] == [
        ("1", "a, 0.5"),
        ("2", "b, 0.5; b, 0.1"),
        ("-", "a, 0.1"),
    ]
    specs = [({"lr": "0.1"}, "0.1", {"lr": 0.1}), ({"lr": "-"}, "fast", {"lr": 1.0})]
    (fact,) = differences(specs)  # a cell that has the key says its value itself
    assert [(v.text, v.which) for v in fact.values] == [("0.1", ""), ("1.0", "fast")]


def test_runs_of_several_threads_or_versions_of_the_code_are_said_to_be_mixed() -> None:
    def record(threads: int, digest: str) -> dict[str, object]:
        scorer = {"name": "snip", "package": "prunekit", "version": "0.2.0", "sha256": digest}
        return {"environment": {"threads": threads, "python": "3.11"}, "scorer": scorer}

    facts = origins([record(1, "aa"), record(1, "aa"), record(2, "bb")])
    assert mixed(facts) == [
        "The runs differ in threads: 1 (2 runs), 2 (1 run).",
        "The runs differ in the code of the scorer snip: "
        "sha256 aa, prunekit 0.2.0 (2 runs), sha256 bb, prunekit 0.2.0 (1 run).",
    ]


def test_the_end_of_a_log_is_short_and_moves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "seed-0.log"
    log.write_bytes(b"first\n" * 10**5 + b"10 %\r20 %\r\x1b[31mred\n" + b"x" * 1000 + b"\n\xff\n")
    lines = last_lines(log)
    assert len(lines) == LINES
    assert lines[-3:] == ["\\x1b[31mred", "x" * LENGTH, "\N{REPLACEMENT CHARACTER}"]
    assert last_lines(tmp_path / "none.log") == []


def test_as_many_reasons_as_fit_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    facts = dict.fromkeys(("sweep", "id"), "") | {"seed": 0, "state": "failed", "code": 6}
    facts |= {"cell": {}, "metrics": {}, "published": {}, "folder": tmp_path / "seed-0"}
    shown, more = failures([("a", Row(**facts, reason=f"at step {n}")) for n in range(MOST + 2)])
    assert (len(shown), more) == (MOST, "2 runs")


def test_a_log_that_leads_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "study").mkdir()
    log = tmp_path / "study" / "seed-0.log"
    log.symlink_to(tmp_path / "secret")
    (line,) = last_lines(log)
    assert "leads out of its run folder" in line


def test_the_page_may_load_nothing_and_run_only_its_own_script(tmp_path: Path) -> None:
    page = Reader(page_of(write_study(tmp_path / "study")))
    rules = [given["content"] for tag, given in page.tags if "http-equiv" in given]
    assert len(rules) == 1
    assert re.fullmatch(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]{44}'; "
        r"base-uri 'none'; form-action 'none'",
        str(rules[0]),
    )
    for tag, given in page.tags:
        assert "src" not in given, tag
        for name in ("href", "xlink:href"):
            assert (given.get(name) or "#").startswith("#"), (tag, given)
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len({*ids})


def test_the_same_folders_give_the_same_page(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", ["snip"])
    assert page_of(folder) == page_of(folder)


def test_one_run_is_a_page_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "snip", 0.02, 0, 0.9)
    page = page_of(run)
    assert "layer collapse: 3.weight keeps no weight" in html.unescape(page)
    assert "A mask alone makes nothing faster" in page
    assert ["1.weight", "300×64", "384", "19,200", "0.02", "0"] in [
        row[:6] for row in Reader(page).rows
    ]


def test_a_run_that_is_not_finished_has_a_page_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "snip", 0.5, 0, 0.9)
    for name in ("summary.json", "layers.json"):
        (run / name).unlink()
    assert "last epoch: epoch 5" in page_of(run)


def test_a_damaged_file_costs_its_run_alone(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", ["snip"], [0.5])
    (next(folder.glob("*/seed-1")) / "layers.json").write_text("[")
    text = html.unescape(page_of(folder))
    assert "layers.json is damaged" in text
    assert "0.961 ± 0.004" in text


def test_what_a_sweep_below_a_folder_left_out_is_said_as_if_it_were_given(tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "all" / "study",
        ["snip"],
        [0.5, 0.1],
        orphaned=["old-0.1-aaaaaa/seed-0"],
        left_out=[{"cell": {"method": "dense"}, "reason": "nothing to shuffle"}],
    )
    told = json.loads((study / "sweep.json").read_text())
    told["trials"][1]["changed"] = ["scorer"]
    (study / "sweep.json").write_text(json.dumps(told))
    page = page_of(tmp_path / "all")
    assert "Left out: dense: nothing to shuffle" in page
    assert "old-0.1-aaaaaa/seed-0" in page
    assert "† 1 run of other code (scorer)" in page
    assert len([row for row in Reader(page).rows if "done†" in row]) == 1
