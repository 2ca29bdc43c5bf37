"""A network of your own, from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from prunekit.errors import SpecError
from prunekit.resolve.archfile import FileArchitecture


def test_your_own_file_is_an_architecture(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n"
        "def build(input_shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(16, classes))\n"
    )
    model = FileArchitecture(source=f"{path}:build").build((1, 4, 4), 3)
    assert list(model.state_dict()) == ["1.weight", "1.bias"]
    assert model[1].weight.shape == (3, 16)


@pytest.mark.parametrize(
    ("head", "fits"),
    [("", True), ("classes, width=2", True), ("**given", True), ("shape, classes", False)],
)
def test_a_function_is_called_by_the_names_it_has(head: str, fits: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(f"from torch import nn\ndef build({head}): return nn.Linear(16, 3)\n")
    arch = FileArchitecture(source=f"{path}:build")
    if fits:
        assert isinstance(arch.build((16,), 3), nn.Linear)
    else:
        with pytest.raises(SpecError, match=r"with input_shape and classes, by these .*: 'shape'"):
            arch.build((16,), 3)


def test_a_file_that_imports_its_neighbour_is_refused(tmp_path: Path) -> None:
    """What lies beside it is in no hash, so a resumed run could not tell that it changed."""
    (tmp_path / "beside_it_29.py").write_text("WIDTH = 3\n")
    path = tmp_path / "net.py"
    path.write_text("from beside_it_29 import WIDTH\ndef build(): return None\n")
    with pytest.raises(SpecError, match=r"'beside_it_29'\); an architecture is one"):
        FileArchitecture(source=f"{path}:build").build((16,), 7)


def test_a_function_of_any_arguments_gets_both(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n"
        "def build(**given): return nn.Linear(given['input_shape'][0], given['classes'])\n"
    )
    assert FileArchitecture(source=f"{path}:build").build((16,), 7).weight.shape == (7, 16)
