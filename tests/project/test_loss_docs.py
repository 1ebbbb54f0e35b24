"""docs/losses.md is complete and true: every loss, every term, overrides that work, proofs."""

import ast
import re
from pathlib import Path

import pytest

from timbre.commands import compose
from timbre.config import RunConfig, parse
from timbre.objective import OPTIONAL, TERMS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/losses.md").read_text("utf-8")
NO_LOSSES = {"reduction", "token_log_probs", "accuracy"}
"""Files of `losses` that hold none."""
BUILDING_BLOCKS = {
    *("Judgement", "Balance", "BalanceConfig", "build_balance", "FlowSample", "DamagedTokens"),
    *("BinaryParameters", "ClassificationParameters", "ContrastiveParameters"),
    *("RegressionParameters", "SpanParameters"),
    *("reconstruction", "binary", "contrastive"),
}
"""Names in `losses` that are no losses: parameters, results, dispatchers by kind."""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows(section: str) -> list[list[str]]:
    """Cells of the table of a section, without its head."""
    body = TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [cells(line) for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def public_names() -> set[str]:
    """Functions and classes of `losses` that are losses or controls."""
    names = set()
    for path in (ROOT / "losses").glob("*.py"):
        if path.stem not in NO_LOSSES:
            tree = ast.parse(path.read_text("utf-8"))
            nodes = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
            names |= {node.name for node in nodes if not node.name.startswith("_")}
    return names - BUILDING_BLOCKS


def overrides() -> dict[str, list[str]]:
    """By row: everything in backticks in the column that says where a loss plugs in."""
    found = {row[0]: quoted(row[2]) for row in rows("The catalogue")}
    return found | {row[0]: quoted(row[1]) for row in rows("The controls")}


def proofs() -> list[str]:
    return [quoted(row[-1])[0] for name in ("The catalogue", "The controls") for row in rows(name)]


def test_every_loss_is_in_the_catalogue_or_said_to_be_in_no_command() -> None:
    listed = {name for row in rows("The catalogue") for name in quoted(row[1])}
    aside = TEXT.split("are in no command:")[1].split("\n## ")[0]
    unused = set(quoted(aside))
    assert listed | unused == public_names()
    assert not listed & unused


def test_what_is_in_no_command_is_not_used() -> None:
    aside = set(quoted(TEXT.split("are in no command:")[1].split("\n## ")[0]))
    for package in ("gpt", "sovits", "vocoder", "timbre"):
        for path in (ROOT / package).rglob("*.py"):
            names = set(re.findall(r"\w+", path.read_text("utf-8")))
            assert not names & aside, path


def test_every_term_is_in_the_table() -> None:
    table = rows("Which terms there are")
    assert {name for row in table for name in quoted(row[0])} == set(TERMS)
    optional = {name for row in table if "(optional)" in row[0] for name in quoted(row[0])}
    assert optional == set(OPTIONAL)
    for row in table:
        reached = {"gpt" if "GPT" in row[1] else "", "vocoder" if "vocoder" in row[1] else ""}
        reached |= {"sovits"} if re.search("SoVITS|speaker encoder", row[1]) else set()
        reached |= {"tokenizer"} if "tokenizer" in row[1] else set()
        assert all(set(TERMS[name]) == reached - {""} for name in quoted(row[0])), row[0]


@pytest.mark.parametrize("loss", overrides())
def test_every_override_works(loss: str) -> None:
    for words in overrides()[loss]:
        assert isinstance(parse(RunConfig, compose("train", words.split())), RunConfig)


def test_every_proof_exists() -> None:
    for proof in proofs():
        file, _, name = proof.partition("::")
        (path,) = (ROOT / "tests").rglob(file)
        found = re.search(rf"^def {name}\(", path.read_text("utf-8"), re.MULTILINE)
        assert found, f"{proof} is not there"


def test_the_commands_work() -> None:
    lines = re.findall(r"^python scripts/train\.py (.+)$", TEXT, re.MULTILINE)
    assert len(lines) >= 2
    for line in lines:
        assert isinstance(parse(RunConfig, compose("train", line.split())), RunConfig)
