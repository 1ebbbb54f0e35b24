"""Where metrics, pictures and sounds go beside the run's folder: TensorBoard, W&B, MLflow."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import soundfile
import torch
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from matplotlib import image

from data.errors import InputError
from timbre.config import LoggerConfig
from timbre.rundir import RunDir


def check_loggers(config: LoggerConfig) -> None:
    """Refuses a logger whose package is not installed, before there is a folder of the run.

    Raises:
        InputError: It is missing; the message says how to install it.
    """
    for name, package in (("wandb", "wandb"), ("mlflow", "mlflow")):
        if getattr(config, name) and find_spec(package) is None:
            raise InputError(
                f"logger={name} needs a package that is not installed: pip install "
                f"'timbre-voice[{name}]' (or: pip install {package}), or choose logger=tensorboard"
            )


def open_loggers(config: LoggerConfig, run: RunDir) -> list[Logger]:
    """The loggers that the configuration asks for; metrics.csv is always written beside them."""
    loggers: list[Logger] = []
    if config.tensorboard:
        loggers.append(TensorBoardLogger(run.folder, name="", version="tensorboard"))
    if config.wandb:
        loggers.append(
            WandbLogger(
                name=run.folder.name,
                save_dir=run.folder,
                project=config.project,
                offline=config.offline,
            )
        )
    if config.mlflow:
        if config.mlflow_uri is None:
            # MLflow 3 wants a data base unless told that plain files are meant; these need no
            # further package, and a run stays one folder.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        where = config.mlflow_uri or f"file:{run.folder.resolve() / 'mlruns'}"
        loggers.append(
            MLFlowLogger(
                experiment_name=config.project, run_name=run.folder.name, tracking_uri=where
            )
        )
    return loggers


def publish(loggers: list[Logger], files: list[Path], update: int) -> None:
    """Gives pictures (.png) and sounds (.wav) to the loggers, named like the files.

    Args:
        loggers: Of the run.
        files: Named `UPDATE-NAME.png` or `UPDATE-NAME.wav`.
        update: The step under which they are shown.
    """
    for file in files:
        name = file.stem.partition("-")[2]
        for logger in loggers:
            if isinstance(logger, TensorBoardLogger):
                _to_tensorboard(logger, name, file, update)
            elif isinstance(logger, WandbLogger):
                log = logger.log_image if file.suffix == ".png" else logger.log_audio
                log(f"samples/{name}", [str(file)], step=None)
            elif isinstance(logger, MLFlowLogger):
                logger.experiment.log_artifact(logger.run_id, str(file), "samples")


def _to_tensorboard(logger: TensorBoardLogger, name: str, file: Path, update: int) -> None:
    writer = logger.experiment
    if file.suffix == ".png":
        picture = torch.from_numpy(image.imread(file)[:, :, :3].copy())
        writer.add_image(f"samples/{name}", picture, update, dataformats="HWC")
        return
    audio, rate = soundfile.read(file, dtype="float32")
    writer.add_audio(f"samples/{name}", torch.from_numpy(audio)[None], update, sample_rate=rate)
