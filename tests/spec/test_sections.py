from __future__ import annotations

import attrs
import pytest

from prunekit.errors import SpecError
from prunekit.spec.options import allowed, types_of
from prunekit.spec.sections import SECTIONS, DataOptions, Prune, Spec, Train, override
from prunekit.storage.texts import read_toml


def test_a_spec_without_arguments_is_complete():
    spec = Spec()
    assert (spec.arch, spec.dataset, spec.scorer, spec.seed) == ("cifar", "digits", None, 0)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_of_a_section_has_a_type_that_a_flag_can_have_and_a_help(section):
    cls = SECTIONS[section]
    assert all(allowed(annotation) for annotation in types_of(cls).values())
    assert all(field.metadata["help"] for field in attrs.fields(cls))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spec(seed=-1), r"seed must lie in \[0, 18446744073709551615\]: -1"),
        (lambda: Spec(seed=2**64), "seed must lie in .*: 18446744073709551616"),
        (lambda: Spec(seed=1.5), "seed must be int: 1.5"),
        (lambda: Prune(density=1.5), "density must lie in"),
        (lambda: Prune(control="shufle"), "control must be one of none, shuffle"),
        (lambda: Train(lr=0), "lr must be > 0: 0"),
        (lambda: Train(momentum=1.5), r"momentum must lie in \[0, 1\]: 1.5"),
        (lambda: DataOptions(validation=-1), "validation must be >= 0"),
    ],
)
def test_a_value_out_of_range_is_refused_where_it_is_given(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_a_missing_spec_file_is_one_line(tmp_path):
    with pytest.raises(SpecError, match=r"cannot read the spec .*none\.toml: No such file"):
        read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe", b"seed = 1\nseed = 2"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "spec.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"spec\.toml is no TOML"):
        read_toml(path)


@pytest.mark.parametrize(
    ("given", "key", "value", "after"),
    [
        ({}, "seed", 3, {"seed": 3}),
        ({}, "prune.density", 0.1, {"prune": {"density": 0.1}}),
        (
            {"prune": {"data": "real"}},
            "prune.density",
            1,
            {"prune": {"data": "real", "density": 1}},
        ),
        ({"scorer": "snip"}, "scorer.batches", 2, {"scorer": {"name": "snip", "batches": 2}}),
        (
            {"scorer": {"name": "snip", "batches": 2}},
            "scorer",
            "grasp",
            {"scorer": {"name": "grasp"}},
        ),
        (
            {"scorer": {"name": "snip", "batches": 2}},
            "scorer",
            "snip",
            {"scorer": {"name": "snip", "batches": 2}},
        ),
    ],
)
def test_a_dotted_key_overrides_what_the_file_says(given, key, value, after):
    override(given, key, value)
    assert given == after


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Train(nesterov=True, momentum=0.0), "cannot act without momentum"),
        (lambda: Train(cuda_graph=True, accumulate=2), "cuda_graph and accumulate > 1 exclude"),
        (lambda: Train(milestones=(60.0, 120.0)), r"milestones must lie in \[0, 1\]: 60.0"),
        (lambda: DataOptions(size=0), "size must be >= 1: 0"),
    ],
)
def test_values_that_no_training_can_follow_are_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()
