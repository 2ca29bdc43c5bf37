from __future__ import annotations

import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from prunekit import theory
from prunekit.cli.entry import main
from prunekit.testing import imports_made_by
from prunekit.theory import CALCULATORS, VacuousBound, qk_alpha_limit, signatures
from prunekit.theory.advice import advise, theorem1_at
from prunekit.theory.studies.catalogue import STUDIES

NAMES = [name for names in CALCULATORS.values() for name in names]
EXAMPLE_5 = "--n-out 100 --n-in 100 --depth 10 --n-star 100000 --delta 0.01 --kprime 39.2491"


def said(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """What a command that succeeds prints."""
    assert main(["theory", *command.split()]) == 0
    return capsys.readouterr().out


def test_the_help_imports_neither_torch_nor_numpy():
    made = imports_made_by("""
from prunekit.cli.entry import main
for words in ("theory --help", "theory bound --help", "theory bund", "theory study --help"):
    try:
        main(words.split())
    except SystemExit:
        pass
""")
    assert "prunekit.cli.theory" in made
    assert not {"torch", "numpy", "timm", "torchvision", "matplotlib"} & made


def test_a_bound_imports_no_torch_and_the_constructions_no_model_zoo():
    made = imports_made_by(f"""
from prunekit.cli.entry import main
main("theory bound orseau_layer_width {EXAMPLE_5}".split())
main("theory advise --widths 784,300,100,10".split())
""")
    assert "numpy" in made
    assert "torch" not in made
    made = imports_made_by("""
import importlib, pkgutil, prunekit.theory
for module in pkgutil.iter_modules(prunekit.theory.__path__):
    importlib.import_module(f"prunekit.theory.{module.name}")
""")
    assert "torch" in made
    assert not {"timm", "torchvision", "prunekit_plugins"} & made


def test_every_bound_and_study_is_listed(capsys):
    *lines, last = said(capsys, "list").splitlines()
    assert [line.split()[0] for line in lines if line] == ["bound", *NAMES, "study", *STUDIES]
    assert last.startswith("in Python also, from prunekit.theory: ")
    assert {"VacuousBound", "advise", "oracle_prune", "sup_error"} <= set(
        last.split(": ")[1].split(", ")
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_a_bound_has_a_flag_and_all_but_forms_a_help(name):
    function = getattr(theory, name)
    text, helps = signatures.described(function)
    assert text.splitlines()[0].endswith((".", "; <= 4 w_max if >= 1/2."))
    flags = signatures.arguments_of(function)
    wanted = inspect.signature(function).parameters
    assert set(flags) == set(wanted)
    assert set(helps) | set(signatures.FORMS) >= set(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_has_a_help_page(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["theory", "bound", name, "--help"])
    assert caught.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_printed_and_corrected_values_stand_side_by_side(capsys):
    head, values = said(capsys, f"bound orseau_layer_width {EXAMPLE_5}").splitlines()
    assert head.split() == ["3", "3-corrected", "30", "min"]
    assert values.split() == ["6,286,934", "6,292,718", "1,428,077", "1,428,077"]


def test_one_form_is_shown_where_it_is_chosen(capsys):
    out = said(capsys, "bound qk_alpha_limit --d-k 100 --d-km1 100 --form printed")
    assert out.split() == ["printed", "0.664731"]


def test_json_carries_values_and_what_is_vacuous(capsys):
    arguments = "--l 4 --L-prod 1 --N 2,2,2,2 --deltas 0,0,0,0 --K1 0.3 --K2 0.2 --eps 0.1"
    command = f"bound qk_theorem2 {arguments} --delta 0.05 --alpha 0.01 --d 64 --json"
    found = json.loads(said(capsys, command))
    values = found["values"]["value"]
    assert found["bound"] == "qk_theorem2"
    assert found["arguments"]["N"] == [2, 2, 2, 2]
    assert values["d_min"] is None  # no float holds it
    assert values["log10_d_min"] > 308
    assert len(found["vacuous"]["value"]) == 2


def test_a_vacuous_bound_is_said_in_words_and_a_refused_form_too(capsys):
    out = said(capsys, "bound sketch_gaussian_error --w0 1,1,1,1 --s 3 --n 2")
    assert "vacuous (corrected): bound 5.333, and a mask of zeros has error 4" in out
    out = said(capsys, "bound layer_recursion_bound --a 1 --b 1e308")
    assert "not defined (printed): layer_recursion_bound is more than a float holds" in out


def test_matrices_are_given_as_json(capsys):
    out = said(capsys, "bound sketch_probabilities --X [[3,4],[0,5]] --w 1,-1")
    assert out == "[0.5, 0.5]\n"
    out = said(capsys, "bound conv_operator_norm --F [[[[1,1],[1,1]]]] --p 4")
    assert out == "4\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("theory", "the following arguments are required: ACTION"),
        ("theory bound zzz", "no bound is named 'zzz'. `prunekit theory list` lists them."),
        ("theory bound qk_teorem2", "Did you mean 'qk_theorem2'?"),
        ("theory bound qk_alpha_limit --d-k 9", "the following arguments are required: --d-km1"),
        ("theory bound chi_mean_squared --n x", "--n: expected int: 'x'"),
        ("theory bound chi_mean_squared --n 0", "n must be an int >= 1: 0"),
        ("theory bound sketch_probabilities --X a --w 1", "--X: expected numbers"),
        ("theory bound chi_mean_squared --n 3 --m 4", "unrecognized arguments: --m 4"),
        ("theory advise --widths 784 --eps 0.1", "widths must name at least two layers' sizes"),
        ("theory advise --widths 784,10 --eps 0", "eps must be a finite number > 0: 0.0"),
        ("theory advise --widths 784,10 --delta 1", "delta must lie in (0, 1): 1.0"),
        ("theory study table-22 --out x", "no study is named 'table-22'. Did you mean 'table-2'?"),
        ("theory study table-2", "the following arguments are required: --out"),
        ("theory advise --widths -784,10", "widths[0] must be an int >= 1: -784"),
        ("theory study width --draws -1,2 --out x", "draws[0] must be an int >= 1: -1"),
        (
            "theory study table-2 --sizes 32,32,8 --out x",
            "sizes must hold pairs n1, n2, as in 32,32",
        ),
        ("theory studi", "invalid choice: 'studi'"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(command, message, capsys):
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_advice_has_a_row_for_each_theorem_and_says_which_are_vacuous(capsys):
    out = said(capsys, "advise --widths 784,300,100,10 --eps 0.01 --delta 0.01")
    head, *rows = out.splitlines()
    assert head.split() == ["theorem", "form", "widest", "log10", "verdict"]
    assert [row.split("  ")[0].split(",")[0] for row in rows] == [
        "Malach et al. (D", "Pensia et al.", "A", "A", "A", "D", "D", "D", "B", "B",
    ]  # fmt: skip
    said_of_100 = [
        "too narrow at 100; proved at these widths: 274 of 30,000 inner weights may go",
        "vacuous at 100: the probability is only bounded by -0.5795 <= 0; proved at",
    ]
    for row, words in zip(rows[-2:], said_of_100):  # fmt: skip
        assert "not covered: assumption (ii), width 100 < 784; " in row
        assert words in row
    found = json.loads(said(capsys, "advise --widths 784,300,100,10 --json"))
    for row in found["rows"][-2:]:  # no width that an unproved constant gives
        assert (row["widths"], row["log10"]) == ([], None)
    assert found["rows"] == advise([784, 300, 100, 10])


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, tuple])
def test_advice_is_the_same_for_widths_of_every_type(kind):
    assert advise(kind([784, 300, 100, 10])) == advise([784, 300, 100, 10])


def test_advice_names_the_least_width_of_theorem_1_where_it_can_be_built():
    """With proved constants the theorem promises at this width, and not at one less."""
    row = advise([100, 200, 200, 10], eps=0.5, delta=0.3)[-2]
    (least,) = row["widths"]
    assert row["verdict"].startswith("too narrow at 200; proved at these widths: 13,097 of 40,000")
    wide = [100, least, least, 10]
    asked = 0.5, 0.3, float(row["theorem"].split("alpha = ")[1])
    at, below = (
        theorem1_at(wide, 0.5, 0.3, qk_alpha_limit(200, 200), d) for d in (least, least - 1)
    )
    assert asked[2] == pytest.approx(qk_alpha_limit(200, 200), abs=1e-3)
    assert at["d_min"] <= least
    assert below["d_min"] > least - 1
    assert (at["p0"] >= 0.7, at["error_bound"] <= 0.5) == (True, True)


def test_what_is_proved_with_an_unknown_constant_is_not_said_to_hold():
    verdict = advise([3, 10**12, 10**12, 3], eps=1.0, delta=0.9)[-1]["verdict"]
    assert verdict.startswith("not proved: Latala's constant is unknown; proved at these widths: ")


def test_advice_for_an_error_that_zeros_have_too_is_vacuous():
    with pytest.warns(VacuousBound, match="zeros are that accurate") as caught:
        assert len(advise([4, 6, 3], eps=2.0)) == 9
    assert len(caught) == 1


def test_advice_on_two_layers_leaves_out_what_needs_one_between():
    rows = {row["theorem"]: row for row in advise([4, 6, 3])}
    assert rows["D, Theorem 30"]["widths"] == [15819, 15520]
    assert rows["D, Theorem 30"]["log10"] == pytest.approx(math.log10(15819))
    assert "not covered" in rows["B, theorems 1 and 2"]["verdict"]
    redrawn = {row["verdict"] for row in advise([4, 6, 3], R=5) if "R = 5" in row["theorem"]}
    assert redrawn == {"proof fails (A1)", "holds"}


def test_the_options_of_a_study_are_flags_too(capsys, tmp_path):
    options = "--widths 4,6 --laws normal --alphas null,0.5 --trials 3"
    said(capsys, f"study table-3 {options} --out {tmp_path}")
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [(row["d"], row["law"], row["alpha"]) for row in rows] == [
        (4, "normal", None), (4, "normal", 0.5), (6, "normal", None), (6, "normal", 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [("6,5", [(6, 5)]), ("[[4,4],[3,8]]", [(4, 4), (3, 8)]), ("4,4,3,8", [(4, 4), (3, 8)])],
)
def test_sizes_of_table_2_are_pairs_in_one_list_or_in_lists(sizes, wanted, capsys, tmp_path):
    said(capsys, f"study table-2 --sizes {sizes} --trials 2 --out {tmp_path}")
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [(row["n1"], row["n2"]) for row in rows] == wanted
    again, _ = STUDIES["table-2"](sizes=np.array(wanted), trials=2)
    assert [row["mean"] for row in again] == [row["mean"] for row in rows]


def test_a_folder_that_cannot_be_written_is_one_line_and_exit_code_4(capsys, tmp_path):
    (tmp_path / "taken").write_text("")
    command = f"theory study table-2 --sizes 4,4 --trials 2 --out {tmp_path / 'taken'}"
    assert main(command.split()) == 4
    assert "cannot write to" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [("sketch_probabilities --X [[-3,4],[.0,5.]] --w -1,.5", "[0.666667, 0.333333]"),
     ("sketch_probabilities --X [[1],[1]] --w -.5,1.5", "[0.25, 0.75]"),
     ("uniform_mask_error --w-star -1,2 --s 5 --form exact", "exact\n1")],
)  # fmt: skip
def test_a_list_may_begin_with_a_minus_or_a_point(arguments, wanted, capsys):
    assert said(capsys, f"bound {arguments}").strip() == wanted


def test_a_study_writes_its_table_and_its_figure(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    printed = said(capsys, f"study figure-2 --seeds 1 --many 50 --few 5 --out {out}")
    rows = json.loads((out / "table.json").read_text())
    assert printed.splitlines()[0].split()[0] == next(iter(rows[0]))
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path(out).iterdir()) == ["figure.png", "table.json"]
