"""Every command of the README and of the Makefile is one that works."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from data.manifest import read_manifest
from timbre.bundle import BASE
from timbre.commands import CONFIGS, compose, usage
from timbre.config import RunConfig, parse
from timbre.synthesis import synthesize_files
from timbre.training import train

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SCHEMAS = {
    "prepare": ("data.preparation.config", "PrepareConfig"),
    "train": ("timbre.config", "RunConfig"),
    "synthesize": ("timbre.synthesis", "SynthesisConfig"),
    "evaluate": ("timbre.evaluation", "EvaluationConfig"),
    "benchmark": ("timbre.benchmark", "BenchmarkConfig"),
    "data_curve": ("timbre.data_curve", "DataCurveConfig"),
    "doctor": ("timbre.doctor.command", "DoctorCommandConfig"),
    "serve": ("timbre.serving.config", "ServeConfig"),
    "detect": ("timbre.detection", "DetectionConfig"),
}
"""Where the schema of each command is that a README line may call."""
TAKEN_ON_TRUST = ("source .venv/bin/activate", "tensorboard --logdir runs")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The lines of all bash blocks, without comments."""
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    return [bare for line in lines if (bare := line.partition(" #")[0].strip())]


def demo_commands() -> list[str]:
    """What `make demo` would run, as make prints it."""
    words = ["make", "--dry-run", "--always-make", "demo"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = shown.stdout.replace("\\\n", " ").splitlines()
    return [line.replace(".venv/bin/", "") for line in lines if "scripts/" in line]


PYTHON = [c for c in [*commands(README), *demo_commands()] if c.startswith("python ")]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone in which the README's own voice has been written."""
    for block in blocks(README, "yaml"):
        name = re.fullmatch(r"# (\S+)\n.*", block, re.DOTALL)
        assert name is not None, "a YAML block begins with the file's name"
        (tmp_path / name[1]).parent.mkdir(parents=True)
        (tmp_path / name[1]).write_text(block, "utf-8")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def split(command: str) -> tuple[str, list[str]]:
    """Name of the script and its overrides."""
    script, *words = shlex.split(command)[1:]
    assert (ROOT / script).is_file()
    return Path(script).stem, words


def checked(command: str) -> object:
    """The configuration of a command line, composed and checked as its script does it."""
    name, words = split(command)
    module, schema = SCHEMAS[name]
    script = runpy.run_path(str(ROOT / f"scripts/{name}.py"))
    config = compose(name, words, script.get("TEXTS", ()))
    return parse(getattr(import_module(module), schema), config)


def test_the_readme_has_commands():
    assert len(PYTHON) > 10
    assert {split(command)[0] for command in PYTHON} == SCHEMAS.keys()


@pytest.mark.parametrize("command", [*commands(README), *commands(CONTRIBUTING)])
def test_every_command_is_of_a_kind_that_is_checked(command):
    if command.startswith("make "):
        subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, check=True)
    elif command.startswith(".venv/bin/"):
        assert command.split()[0].removeprefix(".venv/bin/") in {"python", "pre-commit"}
    else:
        assert command.startswith("python scripts/") or command in TAKEN_ON_TRUST


@pytest.mark.parametrize("command", PYTHON)
def test_every_python_command_parses(command, checkout):
    checked(command)


def test_the_manifest_example_is_one(tmp_path):
    (example,) = blocks(README, "json")
    (tmp_path / "manifest.jsonl").write_text(example, "utf-8")
    rows = read_manifest(tmp_path / "manifest.jsonl", check_audio=False)
    assert {row.split for row in rows} == {"train", "validation"}


def test_the_key_table_is_true(checkout):
    """Keys in the first column exist, and the defaults beside them are the defaults."""
    table = README.split("## Configuration")[1].split("\n## ")[0]
    defaults = parse(RunConfig, compose("train", []))
    checked = 0
    for keys, default in re.findall(r"^\| (`.+?`) \| (.*?) \|", table, re.MULTILINE):
        for key, text in zip(re.findall(r"`([\w.]+)=`", keys), default.split(","), strict=False):
            text = text.strip().strip("`")
            if "." not in key:
                assert (CONFIGS / key).is_dir() or hasattr(defaults, key), key
            elif re.fullmatch(r"\d+", text):
                value = defaults
                for part in key.split("."):
                    value = getattr(value, part)
                assert value == int(text), key
                checked += 1
    assert checked >= 4


def test_every_experiment_is_in_the_table():
    table = README.split("## Experiments")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    shipped = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")}
    assert listed == shipped
    for path in (CONFIGS / "experiment").glob("*.yaml"):
        question = path.read_text("utf-8").splitlines()[1]
        assert re.match(r"# .+\?|# Stage", question), f"{path}: say which question it answers"


def test_every_path_of_the_tree_exists():
    tree = README.split("### Where things are")[1]
    folder = ROOT
    for line in re.findall(r"^```\n(.*?)^```", tree, re.MULTILINE | re.DOTALL)[0].splitlines():
        path = (folder if line.startswith("  ") else ROOT) / line.split()[0]
        assert path.exists(), line
        folder = path if not line.startswith("  ") else folder
    shown = {path.name for path in (ROOT / "scripts").glob("*.py") if path.name in tree}
    assert shown == {path.name for path in (ROOT / "scripts").glob("*.py")}


def test_the_readme_knows_whether_a_base_is_bundled():
    assert ("no base model is bundled" in README.lower()) == (not BASE.exists())


@pytest.mark.parametrize("name", SCHEMAS)
def test_help_names_groups_without_composing(name):
    script = (ROOT / f"scripts/{name}.py").read_text("utf-8")
    shown = usage(name, script.split('"""')[1])
    assert f"configs/{name}.yaml" in shown
    assert "experiment=" in shown


@pytest.mark.slow
def test_help_answers_at_once_without_torch():
    code = (
        "import runpy, sys; sys.argv = ['train.py', '--help']\n"
        "try: runpy.run_path('scripts/train.py', run_name='__main__')\n"
        "finally: assert not {'torch', 'hydra', 'lightning'} & sys.modules.keys()"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "resume=" in shown.stdout


@pytest.mark.slow
def test_the_demo_trains_and_speaks(checkout, tiny):
    """`make demo` with tiny networks and two updates: the files that the README names are there."""
    training, speaking = demo_commands()
    # The bundled base is not tiny, so these begin from nothing.
    few = ["init=none", "train.updates=2", "train.tokenizer_updates=2"]
    words = [*split(training)[1], *tiny, *few]
    assert train(compose("train", words), words) == 0
    # Untrained networks never end a phoneme: one word is enough of them.
    synthesize_files(replace(checked(speaking), text="Hello."))
    run = checkout / "runs/myvoice/latest"
    for name in ("hello.wav", "voice/model.safetensors", "voice/config.json", "report.md"):
        assert (run / name).stat().st_size > 0
    header, *_ = (run / "metrics.csv").read_text("utf-8").splitlines()
    assert header.split(",")[0] == "update"
    assert json.loads((run / "voice/config.json").read_text("utf-8"))["name"] == "myvoice"
