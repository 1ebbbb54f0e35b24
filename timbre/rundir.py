"""The folder of a run: where each of its files lies."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data.errors import InputError
from timbre.commands import CONFIGS

RUNS = Path("runs")
TOKENIZER_STAGE = "tokenizer"
"""Stage in which a run from nothing trains its tokenizer."""
_CHOSEN = "TIMBRE_RUN_DIR"
"""Environment variable that tells the other processes of a DDP run which folder rank 0 made."""


class RunDir:
    """Paths inside one run's folder.

    Args:
        folder: `runs/NAME/<time>` or what `run.dir` says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.composed = folder / "composed.yaml"
        self.command = folder / "command.txt"
        self.checkpoints = folder / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.best_checkpoint = self.checkpoints / "best.ckpt"
        self.judge = self.checkpoints / "judge.safetensors"
        self.metrics = folder / "metrics.csv"
        self.doctor_log = folder / "doctor.log"
        self.samples = folder / "samples"
        self.voice = folder / "voice"
        self.report = folder / "report.md"
        self.curves = folder / "curves.png"

    @classmethod
    def create(cls, folder: str | None, name: str) -> RunDir:
        """Makes a new run's folder and lets `runs/NAME/latest` point to it.

        Raises:
            InputError: The folder already holds a run.
        """
        if not is_main_process():
            if (chosen := os.environ.get(_CHOSEN, folder)) is None:
                raise InputError("started by another launcher than Lightning's: give run.dir=PATH")
            return cls(Path(chosen))
        path = Path(folder) if folder else RUNS / name / time.strftime("%Y-%m-%d_%H-%M-%S")
        if cls(path).can_resume:
            raise InputError(
                f"run.dir={path} already holds a run; go on with resume={path}, or name a new "
                "folder"
            )
        path.mkdir(parents=True, exist_ok=True)
        os.environ[_CHOSEN] = str(path)
        latest = RUNS / name / "latest"
        latest.parent.mkdir(parents=True, exist_ok=True)
        pointer = latest.with_name(".latest.tmp")
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(path.resolve(), target_is_directory=True)
        os.replace(pointer, latest)
        return cls(path)

    @classmethod
    def existing(cls, folder: Path) -> RunDir:
        """The folder of a run that can be continued.

        Raises:
            InputError: There is no such run, or it saved nothing.
        """
        run = cls(folder.resolve())
        if not run.can_resume:
            raise InputError(
                f"resume={folder}: there is no run that could go on ({run.config} or "
                f"{run.last_checkpoint} is missing); start it anew"
            )
        return run

    @property
    def can_resume(self) -> bool:
        """Whether the run, or its first stage, has saved a checkpoint."""
        saved = (self.last_checkpoint, self.folder / TOKENIZER_STAGE / "checkpoints" / "last.ckpt")
        return self.config.is_file() and any(path.is_file() for path in saved)

    def stage(self, name: str) -> RunDir:
        """The folder of a stage inside this run."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return RunDir(folder)

    @property
    def groups(self) -> set[str]:
        """Names of the configuration groups."""
        return {path.name for path in CONFIGS.iterdir() if path.is_dir()}

    def save_config(self, config: DictConfig, composed: DictConfig, overrides: list[str]) -> None:
        """Writes the resolved configuration, the composed one, and the words that gave them.

        The composed one keeps its interpolations: `resume=… train.updates=N` must move the learning
        rate's schedule along.
        """
        if not is_main_process():
            return
        OmegaConf.save(config, self.config)
        OmegaConf.save(composed, self.composed)
        with self.command.open("a", encoding="utf-8") as file:  # a line each time it is resumed
            file.write(shlex.join(overrides) + "\n")

    def load_config(self) -> DictConfig:
        """The saved configuration.

        Raises:
            InputError: It cannot be read.
        """
        try:
            saved = OmegaConf.merge(OmegaConf.load(self.config), OmegaConf.load(self.composed))
        except (OSError, OmegaConfBaseException) as error:
            raise InputError(f"{self.config} cannot be read ({error})") from error
        assert isinstance(saved, DictConfig)
        return saved


def is_main_process() -> bool:
    """Whether this is the process that was started; under DDP Lightning starts the others."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
