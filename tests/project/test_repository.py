"""House rules that a script can see: targets, file lengths, strings that must not be committed."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("help", "setup", "demo", "test", "lint", "bench", "clean")
MAX_LINES = 400
BINARY = {".flac", ".wav", ".png", ".safetensors", ".ogg", ".npz"}

LONGER = {"constraints.txt", "LICENSE"}
"""Files that are lists by nature."""

FORBIDDEN = re.compile(
    # Homes and temporary folders of some machine; registries other than the user's own choice.
    r"(?<![\w.])/(?:work|home|root|Users|tmp|opt|mnt)/\w"
    r"|(?:index-url|extra-index-url|find-links|trusted-host)"
    r"|pypi\.org|pythonhosted|download\.pytorch\.org|artifactory|nexus"
)


def tracked() -> list[Path]:
    """Text files under version control; without git (a source archive) there are none to check."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path.suffix not in BINARY]


def test_no_machine_path_and_no_registry_is_committed():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if FORBIDDEN.search(line)
    ]
    assert not found


@pytest.mark.parametrize(
    ("line", "is_bad"),
    [
        ("cache = '/home/ada/voices'", True),
        ("pip install --index-url https://example.org", True),
        ("runs/work/latest", False),
        ("usr/share/games", False),
    ],
)
def test_forbidden_strings_are_recognised(line, is_bad):
    assert bool(FORBIDDEN.search(line)) == is_bad


def test_files_stay_short():
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in tracked()
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_LINES
    }
    assert not long.keys() - LONGER, long


def test_there_are_no_drawers():
    names = {part for path in tracked() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "common", "helpers", "helper", "misc"}


def test_make_help_names_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(TARGETS)
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    described = {line.split()[1]: line.split()[2:] for line in shown.stdout.splitlines()}
    assert described.keys() == set(TARGETS)
    assert all(described.values())


def test_every_target_sets_itself_up():
    """`make demo` and the others work on a fresh clone: each begins with what `setup` does."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test", "lint", "bench"):
        assert re.search(rf"^{target}: setup ", makefile, re.MULTILINE)


def test_continuous_integration_does_what_the_readme_says():
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert "make lint" in script
    assert "make test" in script
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
