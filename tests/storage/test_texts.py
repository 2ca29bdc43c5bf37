"""JSON and TOML that anybody may have written are read soon, or refused in one line."""

from __future__ import annotations

import json
import os
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError, StorageError
from prunekit.storage.texts import (
    parse_json,
    parse_toml,
    read_json,
    read_json_lines,
    read_regular,
    read_toml,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value).encode()) == value


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers(-(2**63), 2**63 - 1)))
def test_toml_is_read_as_the_standard_library_reads_it(table):
    text = "".join(f"{json.dumps(k)} = {json.dumps(v)}\n" for k, v in table.items())
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # JSON's escapes are not all TOML's
    assert parse_toml(text.encode()) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 1}', "a key is given twice"),
        ("[" * 41 + "]" * 41, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        (str(2**128), "more than 128 bits"),
        (f"[{-(2**128)}]", "more than 128 bits"),
        ("9" * 5000, "digits"),
        (b"\xff", "utf-8"),
        (b"\xef\xbb\xbf1", "BOM"),
        ("", "Expecting value"),
    ],
)
def test_json_that_nobody_should_have_to_read_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)
    assert parse_json("[" * 40 + "]" * 40)
    assert parse_json(str(2**128 - 1)) == 2**128 - 1


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 40_000) + " = 1",
        "[" + ".".join(["a"] * 40_000) + "]",
        ".".join(["'a'"] * 40_000) + " = 1",
        "\n".join(".".join(["a"] * 190 + [f"b{n}"]) + " = 1" for n in range(300)),
        "a = " + "[" * 100_000,
        "a = " + "{b=" * 60_000,
        '"\\"' * 80_000,
        '"""\\' * 60_000,
        '"""x\\' * 50_000,
        "'''a" * 60_000,
        "a" * 250_000,
        '"' + "\\" * 200_000,
        "'" * 200_000,
        "a = 0x" + "f" * 200_000,
        "a = " + "9" * 200_000,
    ],
)
def test_no_toml_takes_long(text):
    """Time of this process; a parser that needs the square of the length takes minutes."""
    before = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        parse_toml(text.encode())
    assert time.process_time() - before < 2


def test_a_name_with_many_dots_in_a_list_is_no_key_of_many_parts():
    text = f"include = {json.dumps(['encoder.layers.0.attention.query.weight'] * 400)}"
    assert len(parse_toml(text.encode())["include"]) == 400


DOTTED = "a. b . " * 300


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        (f"a = [{','.join(['0.5'] * 300)}]", "a", [0.5] * 300),
        (f"# {DOTTED}\na = 1 # {DOTTED}", "a", 1),
        (f'a = """\n{DOTTED}"" \\""" {DOTTED}""""', "a", f'{DOTTED}"" """ {DOTTED}"'),
        (f"a = '''\n{DOTTED}'' {DOTTED}'''''", "a", f"{DOTTED}'' {DOTTED}''"),
        (f'"{DOTTED}" = 1', DOTTED, 1),
        (f"a = {{ '{DOTTED}' = '#', b.c = 1 }}", "a", {DOTTED: "#", "b": {"c": 1}}),
        (".".join("abcdefgh") + " = 1 # " + DOTTED, "b", None),
    ],
)
def test_only_the_dots_between_the_parts_of_a_key_are_counted(text, key, value):
    table = parse_toml(text.encode())
    assert table == tomllib.loads(text)
    assert table.get(key) == value


@pytest.mark.parametrize(
    "text",
    [
        "# it's\n" + ".".join(["a"] * 202) + " = 1",
        'b = """it\'s"""\n[' + " . ".join(["a"] * 202) + "]",
        "b = {" + ".".join(["'a#'"] * 202) + " = 1}",
        "b = [1.5, {" + ".".join(["a"] * 202) + " = 1}]",
    ],
)
def test_a_key_of_many_parts_is_refused_wherever_it_stands(text):
    assert tomllib.loads(text)
    with pytest.raises(ValueError, match="more than 200 parts"):
        parse_toml(text.encode())


def test_only_a_regular_file_of_a_bearable_size_is_read(tmp_path: Path):
    path = tmp_path / "text"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(ValueError, match="it has 5 bytes, more than 4"):
        read_regular(path, 4)
    with pytest.raises(ValueError, match="it is a folder"):
        read_regular(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", "/dev/zero", "/dev/stdin"):
        if not Path(odd).is_file():
            with pytest.raises((ValueError, OSError)):
                read_regular(odd)


def test_who_reads_a_file_is_told_which_and_why(tmp_path: Path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(StorageError, match=r"a\.json is damaged: Expecting .*; restore it or run"):
        read_json(tmp_path / "a.json")
    (tmp_path / "lines").write_text('{"kind": "epoch"}\n{"kind"\n')
    with pytest.raises(StorageError, match=r"lines is damaged: line 2: "):
        list(read_json_lines(tmp_path / "lines"))
    with pytest.raises(StorageError, match=r"cannot read .*none: No such file"):
        read_json(tmp_path / "none")
    with pytest.raises(SpecError, match=r"cannot read the spec .*none\.toml: No such file"):
        read_toml(tmp_path / "none.toml")
