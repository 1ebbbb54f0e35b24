"""`scripts/doctor.py`: reads a run's curves and says what is wrong and what to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from data.errors import InputError
from timbre.config import RunConfig, parse
from timbre.doctor.curves import Curves
from timbre.doctor.diagnosis import HEALTHY, columns_of, diagnose
from timbre.doctor.finding import Finding
from timbre.metrics import Row, read_metrics
from timbre.plots import plot_columns
from timbre.rundir import RUNS, TOKENIZER_STAGE, RunDir

FOUND = 3
"""Exit code when something is wrong with the run."""


@dataclass(frozen=True)
class DoctorCommandConfig:
    """What `scripts/doctor.py` looks at."""

    run: str = field(default=MISSING)
    """Folder of a run, or the name of a voice (its newest run)."""
    picture: str | None = None
    """PNG file for the curves that the findings are about."""


def examine(config: DoctorCommandConfig) -> tuple[str, int]:
    """Diagnoses a run.

    Returns:
        What to print, and the exit code: 0 healthy, 3 findings.

    Raises:
        InputError: There is no such run, it has logged nothing, or the picture cannot be written.
    """
    run = find_run(config.run)
    rows = read_metrics(run.metrics)
    run_config = parse(RunConfig, run.load_config())
    findings = diagnose(Curves(rows), run_config)
    if config.picture is not None:
        _draw(config.picture, rows, columns_of(findings))
    if not findings:
        return f"{HEALTHY}: nothing is wrong with {run.folder} up to {_where(rows)}", 0
    return "\n".join(line for each in findings for line in prescription(each)), FOUND


def find_run(name: str) -> RunDir:
    """The run that a folder or a voice's name means.

    Raises:
        InputError: There is none, or it has logged nothing.
    """
    folder = next((path for path in (Path(name), RUNS / name / "latest") if path.is_dir()), None)
    if folder is None:
        raise InputError(f"run={name}: no such folder, nor a run {RUNS / name / 'latest'}")
    run = RunDir(folder)
    stage = RunDir(folder / TOKENIZER_STAGE)
    found = next((each for each in (run, stage) if each.metrics.is_file()), None)
    if found is None:
        raise InputError(
            f"run={name}: {run.metrics} is missing; give the folder of a run, e.g. "
            "run=runs/myvoice/latest"
        )
    if not run.config.is_file():
        raise InputError(f"run={name}: {run.config} is missing; the rules depend on it")
    found.config, found.composed, found.command = run.config, run.composed, run.command
    return found


def prescription(finding: Finding) -> list[str]:
    """A finding as lines: the first begins with its id, the others are indented."""
    lines = [finding.line, f"  {finding.meaning}"]
    if finding.advice:
        lines.append(f"  do:  {finding.advice}")
    if finding.overrides:
        lines.append(f"  try: {shlex.join(finding.overrides)}")
    return lines


def _draw(picture: str, rows: list[Row], names: list[str]) -> None:
    try:
        plot_columns(Path(picture), rows, names)
    except (OSError, ValueError) as error:  # ValueError: no such format
        reason = " ".join(str(error).split())
        raise InputError(
            f"picture={picture}: cannot be drawn ({reason}); name a PNG file in another place"
        ) from error


def _where(rows: list[Row]) -> str:
    return f"update {int(rows[-1]['update'])}" if rows else "its start"
