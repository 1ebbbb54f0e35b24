"""The doctor that watches a run: says what is wrong while there is time, and treats if it may."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning

from timbre.callbacks.logging import ScalarLogger
from timbre.doctor.command import prescription
from timbre.doctor.curves import Curves
from timbre.doctor.diagnosis import diagnose, remedy_of
from timbre.doctor.finding import Finding
from timbre.doctor.treatment import MOST, TREATMENTS
from timbre.module import VoiceCloner

_LOG = logging.getLogger(__name__)


class DoctorCallback(lightning.Callback):
    """Looks at the curves every `doctor.every` updates and at the end; stands after validation.

    A diagnosis is told once. With `doctor.act=true`, a safe remedy is given where there is one, and
    given again after `doctor.patience` updates if it did not help. A resumed run keeps its
    remedies.

    Args:
        scalars: Has the curves.
        file: The run's doctor.log, a line per finding and per remedy.
    """

    def __init__(self, scalars: ScalarLogger, file: Path) -> None:
        self.scalars = scalars
        self.file = file
        self._told: set[str] = set()
        self._given: list[tuple[int, str]] = []

    @property
    def treated(self) -> dict[str, int]:
        """Update of the last treatment by each remedy."""
        return {remedy: update for update, remedy in self._given}

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Gives a resumed run its remedies again: they are no part of its configuration."""
        assert isinstance(module, VoiceCloner)
        for _, remedy in self._given:
            TREATMENTS[remedy](module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Looks when it is time."""
        assert isinstance(module, VoiceCloner)
        every = module.config.doctor.every
        if every and (module.update % every == 0 or trainer.should_stop):
            self.look(trainer, module)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Says what led to the end of a run that failed."""
        assert isinstance(module, VoiceCloner)
        if (
            isinstance(exception, Exception)
            and trainer.is_global_zero
            and module.config.doctor.every
        ):
            self._tell(module, self._findings(module))

    def look(self, trainer: lightning.Trainer, module: VoiceCloner) -> None:
        """Diagnoses on the main process; all processes give the same remedies."""
        remedies: list[str] = []
        if trainer.is_global_zero:
            findings = self._findings(module)
            self._tell(module, findings)
            if module.config.doctor.act:
                remedies = self._due(module, findings)
        if not module.config.doctor.act:
            return
        for remedy in trainer.strategy.broadcast(remedies):
            self._given.append((module.update, remedy))
            self._note(trainer, f"update {module.update}: {TREATMENTS[remedy](module)}")

    def state_dict(self) -> dict[str, Any]:
        """What was told and given."""
        return {"told": sorted(self._told), "given": [list(each) for each in self._given]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what was told and given before the run was stopped."""
        self._told = set(state_dict["told"])
        self._given = [(int(update), str(remedy)) for update, remedy in state_dict["given"]]

    def _findings(self, module: VoiceCloner) -> list[Finding]:
        return diagnose(Curves(self.scalars.metrics.rows), module.config, self.treated)

    def _tell(self, module: VoiceCloner, findings: list[Finding]) -> None:
        for finding in findings:
            if finding.id not in self._told:
                self._told.add(finding.id)
                lines = prescription(finding)
                _LOG.warning("doctor, update %d: %s", module.update, "\n".join(lines))
                self._write(f"update {module.update}: {finding.line}")

    def _due(self, module: VoiceCloner, findings: list[Finding]) -> list[str]:
        """The remedies to give now: each once, not too soon again, and not too often."""
        due = []
        for remedy in dict.fromkeys(remedy_of(finding) for finding in findings):
            times = sum(given == remedy for _, given in self._given)
            last = self.treated.get(remedy)
            waited = last is None or module.update - last >= module.config.doctor.patience
            if remedy and times < MOST and waited:
                due.append(remedy)
        return due

    def _note(self, trainer: lightning.Trainer, line: str) -> None:
        if trainer.is_global_zero:
            _LOG.warning("doctor, %s", line)
            self._write(line)

    def _write(self, line: str) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
