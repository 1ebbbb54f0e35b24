"""`scripts/data_curve.py`: how much speech does a voice need?

Every amount is a fine-tune of its own, from the same start, with the same seeds and on the voice's
first recordings; all are judged by the same sentences beside the same held-out recordings.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.manifest import read_manifest, training_rows
from timbre.commands import TRAINING_TEXTS, compose
from timbre.config import RunConfig, parse
from timbre.data_curve_report import Curve, Point, estimates, table, write_report
from timbre.evaluation import Evaluation, EvaluationConfig
from timbre.evaluation_report import Row, write_reports
from timbre.judges.recognizer import TranscribeConfig
from timbre.rundir import RUNS, RunDir
from timbre.training import check_inputs, train

_LOG = logging.getLogger(__name__)
_CURVES = "data-curve"
_OURS = ("data", "data.train_seconds", "run.dir", "resume", "train.seed")
"""Keys of training that the curve sets itself."""


@dataclass(frozen=True)
class DataCurveConfig:
    """What `scripts/data_curve.py` is told."""

    data: str
    """Name of the voice, as `data=` of scripts/train.py."""
    seconds: list[float] = field(default_factory=lambda: [0.0, 10.0, 30.0, 60.0])
    """Amounts of speech. 0 is the un-tuned start, given the voice by the mean of its recordings."""
    training: list[str] = field(default_factory=list)
    """Further words for scripts/train.py, the same for every amount."""
    reference: str | None = None
    """Recordings of the speaker that no run trains on, as in EvaluationConfig; None: `heldout` of
    the data, else its validation rows."""
    sentences: str | None = None
    """UTF-8 file, one sentence a line; None: assets/sentences/LANGUAGE.txt."""
    repeats: int = 1
    """Each sentence is spoken so many times, with other seeds."""
    output: str | None = None
    """Folder of the runs, curve.json, curve.png and data_curve.md; None: `runs/data-curve/NAME`."""
    seed: int = 1
    """Of every training, and of the first sentence."""
    transcribe: TranscribeConfig = field(default_factory=TranscribeConfig)
    """The speech recogniser."""

    def __post_init__(self) -> None:
        if not self.seconds or len(set(self.seconds)) < len(self.seconds):
            raise ValueError(f"seconds is {self.seconds}; give one or more different amounts")
        if wrong := [s for s in self.seconds if not (math.isfinite(s) and s >= 0)]:
            raise ValueError(f"seconds has {wrong[0]}; give 0 or more")
        if self.repeats < 1:
            raise ValueError(f"repeats is {self.repeats}; give 1 or more")
        for word in self.training:
            key, equals, _ = word.lstrip("+~").partition("=")
            if not equals or key in _OURS:
                raise ValueError(
                    f"training has {word!r}; give words KEY=VALUE for scripts/train.py, without "
                    f"{', '.join(_OURS)}, which the curve sets itself"
                )


def measure_curve(config: DataCurveConfig) -> tuple[str, int]:
    """Trains and judges every amount that has no result yet, and writes the report.

    Returns:
        The table and 0, or nothing and the exit code of a training that was interrupted.

    Raises:
        InputError: Something that was asked for cannot be used; seen before anything is trained.
    """
    return DataCurve(config).run()


class DataCurve:
    """Fine-tunes of one voice on growing parts of its recordings.

    Args:
        config: What is asked.

    Raises:
        InputError: The voice, the words for training or the held-out recordings cannot be used, or
            the folder holds another curve.
    """

    def __init__(self, config: DataCurveConfig) -> None:
        self.config = config
        self.output = Path(config.output or RUNS / _CURVES / config.data)
        self.file = self.output / "curve.json"
        self.training = parse(RunConfig, compose("train", self._words(0.0), TRAINING_TEXTS))
        manifest = self.training.data.manifest
        self._recordings = read_manifest(manifest, check_audio=False)
        self._check()
        self.reference = config.reference or self._held_out()
        self.curve: Curve | None = Curve.load(self.file) if self.file.is_file() else None
        if self.curve is not None:
            self._check_settings(self.curve.settings)

    def run(self) -> tuple[str, int]:
        """The table and the exit code: see `measure_curve`."""
        if self.curve is None:
            human = self._judge(self.training.init, "human", prompt=self.training.data.manifest)[0]
            self.curve = Curve(self._settings(), estimates(human))
            self.curve.save(self.file)
        done = {point.seconds for point in self.curve.points}
        for seconds in sorted(set(self.config.seconds) - done):
            if seconds and seconds not in self.curve.trained:
                if code := self._train(seconds):
                    _LOG.info("%s keeps what is done; the same command goes on", self.file)
                    return "", code
                self.curve.trained.append(seconds)
                self.curve.save(self.file)
            self.curve.add(self._point(seconds))
            self.curve.save(self.file)
        write_report(self.output, self.curve)
        return f"{table(self.curve)}\n{self.output / 'data_curve.md'}", 0

    def _train(self, seconds: float) -> int:
        """Fine-tunes on the first recordings, or goes on with it; the exit code of train.py."""
        folder = self._folder(seconds)
        begun = RunDir(folder).can_resume
        words = [f"resume={folder}"] if begun else self._words(seconds)
        _LOG.info("training on %g s in %s", seconds, folder)
        return train(compose("train", words, TRAINING_TEXTS), words)

    def _point(self, seconds: float) -> Point:
        """Lets the judges hear one amount's voice."""
        if not seconds:
            manifest = self.training.data.manifest
            row, _ = self._judge(self.training.init, "voice", prompt=manifest, seconds=seconds)
            return Point(0.0, 0.0, 0, 0.0, 0, estimates(row))
        row, about = self._judge(str(self._folder(seconds)), "voice", seconds=seconds)
        used = training_rows(self._recordings, seconds)
        return Point(
            seconds=seconds,
            used_seconds=round(sum(recording.seconds for recording in used), 3),
            clips=len(used),
            minutes=float(about["minutes"]),
            updates=int(about["updates"]),
            measures=estimates(row),
        )

    def _judge(
        self, voice: str, name: str, *, prompt: str | None = None, seconds: float = 0.0
    ) -> tuple[Row, dict[str, Any]]:
        """One row of the evaluation, and what the judged bundle says about its making."""
        config = self.config
        evaluation = Evaluation(
            EvaluationConfig(
                voice=voice,
                reference=self.reference,
                sentences=config.sentences,
                prompt=prompt,
                base=self.training.init,
                language=self.training.data.language or None,
                output=str(self._folder(seconds) / "evaluation"),
                repeats=config.repeats,
                seed=config.seed,
                transcribe=config.transcribe,
            )
        )
        bundle = evaluation.bundle
        if prompt is not None and len(bundle.speakers) == 1 and 0.0 in config.seconds:
            raise InputError(
                f"seconds=0 clones the voice without training, but init={voice} is the voice of "
                f"{bundle.speakers[0]} alone; leave 0 out, or start from a base of several voices"
            )
        (row,) = evaluation.rows([name])
        if name == "voice":
            absent = evaluation.panel.absent
            write_reports(evaluation.output, bundle.name, config.seed, [row], absent)
        return row, bundle.about

    def _words(self, seconds: float) -> list[str]:
        """The command line of scripts/train.py."""
        return [
            f"data={self.config.data}",
            # The voice's own `latest` run stays the last one that was meant to be the voice.
            f"data.name={_CURVES}/{self.config.data}",
            f"data.train_seconds={seconds:g}",
            f"train.seed={self.config.seed}",
            f"run.dir={self._folder(seconds)}",
            *self.config.training,
        ]

    def _folder(self, seconds: float) -> Path:
        return self.output / f"{seconds:g}s"

    def _check(self) -> None:
        check_inputs(self.training)
        if self.training.init == "none":
            raise InputError("init=none trains from nothing; a curve is of fine-tunes of one start")
        if self.training.trainer.devices > 1:
            raise InputError(
                f"trainer.devices={self.training.trainer.devices}: a curve trains on one device; "
                "leave it out of training"
            )
        manifest, rows = self.training.data.manifest, training_rows(self._recordings, 0.0)
        if len(speakers := sorted({row.speaker for row in rows})) != 1:
            raise InputError(
                f"{manifest} has {len(speakers)} speakers that are trained on; a curve is of one "
                "voice: give a manifest of its recordings alone"
            )
        known = sum(row.seconds for row in rows)
        if (most := max(self.config.seconds)) > known:
            raise InputError(
                f"seconds={most:g}: {manifest} has {known:.1f} s in {len(rows)} recordings to "
                "train on; ask for less, or record more"
            )

    def _held_out(self) -> str:
        data = self.training.data
        if data.heldout:
            return data.heldout
        if any(row.split == "validation" for row in self._recordings):
            return data.manifest
        raise InputError(
            f"data={self.config.data} has no recordings that are not trained on, to compare with: "
            "reference=FOLDER_OR_MANIFEST"
        )

    def _settings(self) -> dict[str, Any]:
        """What must not change within a curve."""
        settings = asdict(self.config)
        for name in ("seconds", "output"):
            del settings[name]
        rows = training_rows(self._recordings, 0.0)
        return {
            **settings,
            "reference": self.reference,
            "recorded_seconds": round(sum(row.seconds for row in rows), 3),
        }

    def _check_settings(self, saved: dict[str, Any]) -> None:
        for name, value in self._settings().items():
            if saved.get(name) != value:
                raise InputError(
                    f"{self.file} is of another curve: {name} was {saved.get(name)!r}, and now is "
                    f"{value!r}. Name another folder with output=DIR"
                )
