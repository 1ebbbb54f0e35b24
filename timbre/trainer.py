"""Lightning's trainer as runs use it: without its own epochs, files and notes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning

from timbre.callbacks.saver import AtomicCheckpointIO
from timbre.config import RunConfig
from timbre.devices import Placement
from timbre.loggers import open_loggers
from timbre.rundir import RunDir

_LIGHTNING_NOTES = (
    r"Found \d+ module\(s\) in eval mode",  # those that are not trained
    "You passed in a `val_dataloader` but have no `validation_step`",  # callbacks/validation.py
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    "The '.*dataloader' does not have many workers",
)


def make_trainer(
    config: RunConfig,
    placement: Placement,
    run: RunDir,
    callbacks: list[lightning.Callback],
    *,
    is_finished: bool,
) -> lightning.Trainer:
    """The trainer of a run, which the callbacks end.

    Args:
        config: Of the run.
        placement: Device and precision.
        run: Where the loggers write.
        callbacks: In the order in which they are called.
        is_finished: Nothing is left to train.
    """
    return lightning.Trainer(
        accelerator=placement.accelerator,
        precision=placement.precision,  # type: ignore[arg-type]
        devices=config.trainer.devices,
        strategy=_strategy(config),
        # The data has no end, so there is one epoch, which Control ends; none if nothing is left.
        max_epochs=0 if is_finished else 1,
        logger=open_loggers(config.logger, run),
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=run.folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )


def _strategy(config: RunConfig) -> str:
    if config.trainer.strategy == "ddp" or config.trainer.devices > 1:
        # The discriminators' and the generators' backward each leave the other's parameters out.
        return "ddp_find_unused_parameters_true"
    return config.trainer.strategy


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keeps Lightning's notes, which are none of the user's concern, off the terminal.

    Its loggers also print every line twice once the program has a handler of its own.
    """
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _LIGHTNING_NOTES:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
