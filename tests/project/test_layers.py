"""Imports only go down: scripts > timbre > gpt, sovits, vocoder > data, losses."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {"data": 0, "losses": 0, "gpt": 1, "sovits": 1, "vocoder": 1, "timbre": 2, "scripts": 3}


def imported(source: str) -> set[str]:
    """First names of all modules that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            names.add(str(node.module).partition(".")[0])
    return names


def violations(package: str, source: str) -> set[str]:
    """Our packages that a file of `package` imports but may not."""
    ours = imported(source) & LAYERS.keys() - {package}
    return {name for name in ours if LAYERS[name] >= LAYERS[package]}


@pytest.mark.parametrize("package", LAYERS)
def test_imports_go_down(package):
    files = sorted((ROOT / package).rglob("*.py"))
    found = {str(f.relative_to(ROOT)): violations(package, f.read_text("utf-8")) for f in files}
    assert files
    assert not {path: names for path, names in found.items() if names}


def test_upward_and_sideways_imports_are_seen():
    assert violations("data", "def f():\n    from losses.reduction import mean") == {"losses"}
    assert violations("gpt", "import sovits.flows, data.mel") == {"sovits"}
    assert violations("vocoder", "from timbre.module import VoiceCloner") == {"timbre"}
    assert not violations("timbre", "import gpt.model, torch")


@pytest.mark.parametrize("package", [name for name in LAYERS if name != "scripts"])
def test_package_inits_import_nothing(package):
    for path in (ROOT / package).rglob("__init__.py"):
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), f"{path} has no docstring"
        assert len(tree.body) == 1, f"{path} holds more than its docstring"
