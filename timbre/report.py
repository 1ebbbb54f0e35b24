"""`report.md` and `curves.png`: what a run did, readable without TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from timbre.config import RunConfig
from timbre.doctor.curves import Curves
from timbre.doctor.diagnosis import diagnose
from timbre.doctor.finding import Finding
from timbre.freezing import frozen_parts
from timbre.metrics import Row, curve
from timbre.plots import plot_curves
from timbre.rundir import RunDir
from timbre.verdict import seconds_spent, verdict


def write_report(
    run: RunDir,
    config: RunConfig,
    rows: list[Row],
    parameters: dict[str, int],
    trained: int,
    best: Sequence[int] | None,
) -> None:
    """Writes the report and the curves of a finished or interrupted run.

    Args:
        run: Where to write.
        config: The run's configuration.
        rows: The rows of metrics.csv.
        parameters: Number of parameters per module.
        trained: Number of those that were trained, or of their low-rank updates.
        best: Update whose weights the bundle has, chosen by listening, or those of which it has the
            mean; None: nobody listened.
    """
    plot_curves(run.curves, rows)
    last = int(rows[-1]["update"]) if rows else 0
    sizes = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in parameters.items())
    lines = [
        f"# Run `{run.folder.name}` on `{config.data.name}`",
        "",
        f"- {last} of {config.train.updates} updates; trained: {_adapted(config, trained)};"
        f" started from `{config.init}`{_kept(config)}; seed {config.train.seed}",
        f"- model `{config.model.name}`: {sizes}",
        f"- validation took {seconds_spent(rows):.0f} s",
        "",
        *_heard(rows, config, best),
        "## What the doctor says",
        "",
        *_diagnosed(run, diagnose(Curves(rows), config)),
        "",
        "## Losses",
        "",
        "| | first | last | lowest |",
        "|---|---|---|---|",
        *_table(rows),
        "",
        "Before the first update the `val/` values are those of the un-tuned model.",
        "",
        "![curves](curves.png)",
    ]
    if pictures := sorted(run.samples.glob(f"{last:06d}-*.png")):
        lines += ["", "## Held-out clips", ""]
        lines += [f"![{picture.stem}](samples/{picture.name})\n" for picture in pictures]
    run.report.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _adapted(config: RunConfig, trained: int) -> str:
    rank = config.train.lora.rank
    by = f" by LoRA of rank {rank}, {trained / 1e6:.1f} M parameters" if rank else ""
    frozen = frozen_parts(config)
    modules = [name for name in config.train.modules if name not in frozen]
    parts = [part for part in frozen if part.partition(".")[0] in modules]
    without = f", without {', '.join(parts)}" if parts else ""
    kept = [name for name in config.train.modules if name in frozen]
    return f"{', '.join(modules)}{by}{without}" + (f"; not: {', '.join(kept)}" if kept else "")


def _kept(config: RunConfig) -> str:
    share, gain = config.train.start_share, config.train.timbre_gain
    if config.init == "none":
        return ""
    kept = f", of which the voice keeps {share:.0%}" if share else ""
    if gain == 1 or "sovits" not in config.train.modules:
        return kept
    return f"{kept}, its timbre {gain:g} times as far from there as trained"


def _heard(rows: list[Row], config: RunConfig, best: Sequence[int] | None) -> list[str]:
    """What listening says, and what was spoken."""
    if best is None:
        return []
    return [
        "## Does it sound better?",
        "",
        *verdict(rows, best, config.validation),
        "",
        "All that was spoken is in [samples](samples): `UPDATE-CLIP.wav`.",
        "",
    ]


def _diagnosed(run: RunDir, findings: list[Finding]) -> list[str]:
    """Findings with what to change, and what the doctor did while the run went on."""
    lines = [] if findings else ["The curves look healthy."]
    for finding in findings:
        lines.append(f"- **{finding.id}:** {finding.evidence}. {finding.meaning} {finding.advice}")
        if finding.overrides:
            lines.append(f"  Try `{' '.join(finding.overrides)}`.")
    if run.doctor_log.is_file():
        told = run.doctor_log.read_text(encoding="utf-8").splitlines()
        lines += ["", "During the run:", "", *(f"- {line}" for line in told)]
    return lines


def _table(rows: list[Row]) -> list[str]:
    names = dict.fromkeys(n for row in rows for n in row if n.startswith(("train/", "val/")))
    lines = []
    for name in names:
        _, values = curve(rows, name)
        lines.append(f"| {name} | {values[0]:.4g} | {values[-1]:.4g} | {min(values):.4g} |")
    return lines
