"""The folder of a run: where each of its files lies."""

from __future__ import annotations

import os
import shlex
import threading
import time
from itertools import count
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from data.errors import InputError
from data.files import write_whole
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
            InputError: The folder already holds a run, or cannot be made.
        """
        if not is_main_process():
            if (chosen := os.environ.get(_CHOSEN, folder)) is None:
                raise InputError("started by another launcher than Lightning's: give run.dir=PATH")
            return cls(Path(chosen))
        if folder and cls(Path(folder)).can_resume:
            raise InputError(
                f"run.dir={folder} already holds a run; go on with resume={folder}, or name a new "
                "folder"
            )
        try:
            path = _made(Path(folder)) if folder else _new_folder(RUNS / name)
            _point(RUNS / name / "latest", path.resolve())
        except OSError as error:
            raise InputError(
                f"a folder for the run cannot be made ({error}); name another with run.dir=PATH, "
                f"and let {RUNS} be writable"
            ) from error
        os.environ[_CHOSEN] = str(path)
        return cls(path)

    @classmethod
    def of_main_process(cls) -> RunDir | None:
        """In the processes that Lightning starts: the run that the first one has made and saved."""
        chosen = os.environ.get(_CHOSEN)
        return None if chosen is None or is_main_process() else cls(Path(chosen))

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
        write_whole(self.config, OmegaConf.to_yaml(config))
        write_whole(self.composed, OmegaConf.to_yaml(composed))
        with self.command.open("a", encoding="utf-8") as file:  # a line each time it is resumed
            file.write(shlex.join(overrides) + "\n")

    def load_config(self) -> DictConfig:
        """The saved configuration.

        Raises:
            InputError: It cannot be read.
        """
        try:
            saved = OmegaConf.merge(OmegaConf.load(self.config), OmegaConf.load(self.composed))
        except (OSError, OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"the configuration of the run cannot be read: {self.config} or {self.composed} "
                f"({reason}); copy them again, or start the run anew"
            ) from error
        assert isinstance(saved, DictConfig)
        return saved


def is_main_process() -> bool:
    """Whether this is the process that was started; under DDP Lightning starts the others."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _new_folder(runs: Path) -> Path:
    """A folder that no other run has, not even one that starts in the same second."""
    _made(runs)
    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    for number in count(1):
        folder = runs / (now if number == 1 else f"{now}_{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("numbers do not end")


def _point(link: Path, target: Path) -> None:
    """Lets a link point to another folder, in one step."""
    _made(link.parent)
    unfinished = link.with_name(f".{link.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        unfinished.symlink_to(target, target_is_directory=True)
        os.replace(unfinished, link)
    finally:
        unfinished.unlink(missing_ok=True)
