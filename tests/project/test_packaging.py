"""What is declared is what is there: packages, dependencies, exact versions, licences."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = ["configs", "data", "losses", "gpt", "sovits", "vocoder", "timbre"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
OF_EXTRAS = (ROOT / "data/corpus", ROOT / "timbre/serving")
"""Packages that only their own command imports, which needs an extra."""

MODULES = {
    "hydra-core": "hydra",
    "pyyaml": "yaml",
    "phonemizer-fork": "phonemizer",
    "hibari-tts": "hibari",
    "pyopenjtalk-plus": "pyopenjtalk",
    "scikit-learn": "sklearn",
    "resemble-perth": "perth",
}
"""Distributions whose module has another name than theirs, with dashes for underscores."""

IMPORTING = {"import_module", "import_optional", "load_package", "find_spec", "importorskip"}
"""Calls whose first argument is the name of a module."""

NEVER_IMPORTED = {
    "tensorboard": "Lightning's logger writes with it",
    "mlflow-skinny": "Lightning's logger imports it",
    "pytest-xdist": "make test",
    "ruff": "a command",
    "mypy": "a command",
    "pre-commit": "a command",
    "beartype": "checks annotations in tests, named in pytest's options",
    "requests": "speechmos imports it without declaring it",
    "tqdm": "speechmos imports it without declaring it",
    "torchaudio": "perth imports it without declaring it",
    "setuptools": "perth imports its pkg_resources without declaring it",
}

BY_HAND = {"resemblyzer": "cannot be declared: its own dependencies do not install on Python 3.11"}
"""Optional judges that say in an error how to install them."""


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


def module_of(distribution: str) -> str:
    return MODULES.get(distribution, distribution.replace("-", "_"))


def sources(*, of_tests: bool) -> list[Path]:
    folders = ["tests"] if of_tests else [*PACKAGES, "scripts", "assets"]
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def modules(files: list[Path], *, by_name: bool = True) -> set[str]:
    """Foreign modules that import statements name, and the strings given to importing calls."""
    names = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
            elif by_name and isinstance(node, ast.Call) and node.args:
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = node.args[0]
                if called in IMPORTING:
                    names |= {first.value} if isinstance(first, ast.Constant) else set()
    own = {*PACKAGES, "scripts", "tests", "__future__"}
    return {name.partition(".")[0] for name in names} - own - set(sys.stdlib_module_names)


def declared(*groups: str) -> set[str]:
    listed = PROJECT["project"]["dependencies"] if "" in groups else []
    return {name_of(r) for r in [*listed, *(r for g in groups if g for r in EXTRAS[g])]}


def test_every_import_is_declared():
    known = {module_of(name) for name in declared("", *EXTRAS)} | BY_HAND.keys()
    assert not modules(sources(of_tests=False)) - known
    # What tests import by name may be there or not.
    assert not modules(sources(of_tests=True), by_name=False) - known


def test_the_core_does_not_need_an_extra_to_be_imported():
    """Imports at the top of all modules but those are of core dependencies."""
    known = {module_of(name) for name in declared("")} | set(PACKAGES)
    for path in sources(of_tests=False):
        if set(OF_EXTRAS) & {*path.parents}:
            continue
        tops = [
            node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        first = {str(name).partition(".")[0] for name in tops} - set(sys.stdlib_module_names)
        assert not first - known, f"{path} imports {first - known} at its top"


def test_every_dependency_is_used():
    used = modules(sources(of_tests=False) + sources(of_tests=True))
    present = declared("", *EXTRAS)
    assert not {n for n in present if module_of(n) not in used} - NEVER_IMPORTED.keys()


def test_packages_are_listed_explicitly():
    listed = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix(".*") for name in listed} == set(PACKAGES)
    for name in PACKAGES:
        assert (ROOT / name / "__init__.py").is_file()
        subfolders = [p for p in (ROOT / name).iterdir() if p.is_dir() and p.name[0] not in "_."]
        assert (f"{name}.*" in listed) == bool(subfolders)


def test_constraints_are_exact_and_cover_what_setup_installs():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    names = [name_of(pin) for pin in pins]
    assert len(names) == len(set(names))
    assert declared("", "dev", "prepare", "evaluate", "languages") <= set(names)


def test_licences_are_there():
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert "Attribution-ShareAlike 3.0" in (ROOT / "assets/myvoice/LICENSE").read_text("utf-8")
    attribution = (ROOT / "assets/myvoice/ATTRIBUTION.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    for text in (attribution, readme):
        assert "Allison Smith" in text
        assert "Digium" in text
    assert "GPL-3" in readme
