"""A training run from its configuration to its report."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
import torch
from omegaconf import DictConfig, OmegaConf

from data.config import REPLAY_OF_INIT
from data.datamodule import VoiceDataModule
from data.errors import InputError
from data.manifest import Utterance, read_manifest, training_rows
from timbre.adversary import discriminator_weights, take_discriminators
from timbre.blending import Blend
from timbre.bundle import REPLAY, Bundle, find_bundle, load_bundle, mean_embedding, save_bundle
from timbre.callbacks.averaging import BestAverage
from timbre.callbacks.batch_finder import BatchFinder
from timbre.callbacks.control import Control
from timbre.callbacks.doctor import DoctorCallback
from timbre.callbacks.gallery import Gallery
from timbre.callbacks.instruments import Instruments
from timbre.callbacks.logging import ScalarLogger
from timbre.callbacks.progress import ProgressDisplay
from timbre.callbacks.saver import AtomicCheckpointIO, Saver
from timbre.callbacks.validation import Validation
from timbre.commands import INTERRUPTED, TERMINATED
from timbre.config import RunConfig, parse
from timbre.devices import Placement, place
from timbre.listening import open_listener
from timbre.loggers import check_loggers
from timbre.lora import LoraConfig
from timbre.metrics import MetricsFile, read_metrics
from timbre.module import VoiceCloner
from timbre.networks import Networks
from timbre.report import write_report
from timbre.resuming import changed_config
from timbre.rundir import TOKENIZER_STAGE, RunDir
from timbre.starting import (
    initial_discriminators,
    initial_modules,
    take_initial_weights,
    with_sources,
)
from timbre.teacher import check_teacher
from timbre.tokens import Tokenizing, measure_prior
from timbre.trainer import make_trainer, quiet_lightning

_LOG = logging.getLogger(__name__)
_PRIOR_BATCHES = 50


def train(composed: DictConfig, overrides: list[str]) -> int:
    """Runs the training that a composed configuration describes.

    Args:
        composed: `configs/train.yaml` with everything overridden.
        overrides: The words of the command line, to be kept with the run.

    Returns:
        Exit code: 0, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        InputError: The configuration or the data cannot be used.
    """
    config, run, save = open_run(composed, overrides)
    placement = place(config.trainer)
    resumes = config.resume is not None and run.last_checkpoint.is_file()
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    _LOG.info("run %s on %s", run.folder, placement.reason)
    lightning.seed_everything(config.train.seed, verbose=False)
    networks = Networks(config.model, config.audio)
    known: set[str] = set()
    if not resumes or config.train.ships_a_blend:
        known = take_initial_weights(networks, config)
    blend = Blend(networks, config.train, known)
    signal = None
    if not resumes and needs_tokens(config) and not networks.can_tokenize:
        signal = train_tokenizer(config, placement, networks, run.stage(TOKENIZER_STAGE), save)
    if signal is None:
        signal = fit(config, placement, networks, run, blend, save if resumes else None)
    return 0 if signal is None else _leave(signal, run)


def open_run(
    composed: DictConfig, overrides: list[str]
) -> tuple[RunConfig, RunDir, Callable[[], None]]:
    """The checked configuration, the run's folder, and what saves the configuration in it.

    A new run's configuration is saved already. A continued run takes the saved one; what the
    command line says beside `resume=` is changed in it, and to be saved once it has proved to work.
    """
    if composed.get("resume"):
        run = RunDir.existing(Path(str(composed.resume)))
        composed = changed_config(run, overrides)
        config = with_replay(parse(RunConfig, composed))
        check_inputs(config, begun=run.last_checkpoint.is_file())
    elif (made := RunDir.of_main_process()) is not None:
        run, composed = made, made.load_config()
        config = with_replay(parse(RunConfig, composed))
    else:
        composed = with_sources(composed, parse(RunConfig, composed))
        config = with_replay(parse(RunConfig, composed))
        check_inputs(config)
        run = RunDir.create(config.run.dir, config.data.name)
    save = partial(run.save_config, OmegaConf.create(asdict(config)), composed, overrides)
    if config.resume is None:
        save()
    return config, run, save


def with_replay(config: RunConfig) -> RunConfig:
    """The configuration with the replay set that `data.replay.manifest=init` means.

    A bundle need not have one: `init=none` and voices that were fine-tuned train without.
    """
    replay = config.data.replay
    if replay.manifest != REPLAY_OF_INIT:
        return config
    manifest = None if config.init == "none" else find_bundle(config.init) / REPLAY
    known = manifest is not None and manifest.is_file()
    replay = replace(replay, manifest=str(manifest) if known else "")
    return replace(config, data=replace(config.data, replay=replay))


def needs_tokens(config: RunConfig) -> bool:
    """Whether GPT or SoVITS are trained, which learn from semantic tokens."""
    return bool({"gpt", "sovits"} & set(config.train.modules))


def check_inputs(config: RunConfig, *, begun: bool = False) -> None:
    """What can be seen to be wrong before anything of the run is written.

    Args:
        config: The run.
        begun: It goes on with the weights of its checkpoint.

    Raises:
        InputError: A bundle, the voice or the device is not there.
    """
    place(config.trainer)
    check_loggers(config.logger)
    read_manifest(config.data.manifest)
    first = [] if begun and not config.train.ships_a_blend else list(initial_modules(config))
    for source in [*first, config.objective.semantic.teacher]:
        if source is not None:
            find_bundle(source)


def load_teacher(config: RunConfig, networks: Networks) -> Networks | None:
    """The networks that GPT is to be distilled from, if any.

    Raises:
        InputError: There is no such bundle, or its GPT writes something else.
    """
    if config.objective.semantic.teacher is None or not needs_tokens(config):
        return None
    bundle = load_bundle(find_bundle(config.objective.semantic.teacher))
    check_teacher(bundle, networks, config.audio)
    return bundle.networks.requires_grad_(False)


def train_tokenizer(
    config: RunConfig,
    placement: Placement,
    networks: Networks,
    run: RunDir,
    resumed: Callable[[], None],
) -> int | None:
    """First stage of a run from nothing: tokens must mean something before GPT learns them.

    Args:
        config: Of the whole run.
        placement: Device and precision.
        networks: Their tokenizer is trained in place.
        run: The stage's own folder; a stage that was stopped goes on.
        resumed: Called when such a stage has taken everything back.

    Returns:
        The signal that ended the stage early, or None.
    """
    updates = config.train.tokenizer_updates
    _LOG.info("no tokenizer yet: training one on %s for %d updates", config.data.name, updates)
    stage = replace(
        config,
        train=replace(
            config.train,
            modules=["tokenizer"],
            updates=updates,
            minutes=None,
            average_decay=None,
            lora=LoraConfig(),
        ),
        schedule=replace(config.schedule, updates=updates),
        data=replace(config.data, with_audio=False),
        # What is wrong with the data is said once, by the run that this is a stage of.
        doctor=replace(config.doctor, every=0, act=False),
    )
    blend = Blend(networks, stage.train, known=())
    begun = run.last_checkpoint.is_file()
    return fit(stage, placement, networks, run, blend, resumed if begun else None)


def fit(
    config: RunConfig,
    placement: Placement,
    networks: Networks,
    run: RunDir,
    blend: Blend,
    resumed: Callable[[], None] | None,
) -> int | None:
    """Trains `networks` in place and leaves the run's files.

    Args:
        config: The run.
        placement: Device and precision.
        networks: What is trained.
        run: Where the files go.
        blend: Of what is judged and saved with what the run starts, or started, from.
        resumed: Goes on from the run's last checkpoint, and calls this when all is taken back;
            None: begins.

    Returns:
        The signal that ended the run early, or None.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(run.last_checkpoint) if resumed else None
    if checkpoint is not None:
        restore_networks(networks, checkpoint)
    data = datamodule(config, networks)
    data.setup()
    module = VoiceCloner(
        config, len(data.speakers), networks, data.updates_per_epoch, load_teacher(config, networks)
    )
    if checkpoint is None:
        take_discriminators(module, initial_discriminators(config))
    else:
        take_back(module, checkpoint, run)
        data.update = module.update
        _LOG.info("resuming at update %d of %d", module.update, config.train.updates)
    control = Control()
    saver = Saver(run.checkpoints, config.train.save_updates)
    scalars = ScalarLogger(MetricsFile(run.metrics, module.update), config.train.log_updates)
    doctor = DoctorCallback(scalars, run.doctor_log)
    listener = open_listener(config, data, run.samples)
    validation = Validation(data, listener, scalars, saver, run, blend)
    average = BestAverage(run.checkpoints, validation, saver, control)
    if checkpoint is not None:
        for callback in (scalars, doctor, average):
            if (state := checkpoint["callbacks"].get(callback.state_key)) is not None:
                callback.load_state_dict(state)
    if resumed is not None:
        resumed()
    callbacks = [
        # The order matters: stop, then log, judge, diagnose, then save what all of them know.
        BatchFinder(data),
        control,
        Instruments(scalars, rows_trained_on(config)),
        scalars,
        validation,
        average,
        Gallery(data, scalars, run, blend),
        doctor,
        ProgressDisplay(scalars, config.run.progress),
        saver,
    ]
    with quiet_lightning():
        trainer = make_trainer(config, placement, run, callbacks, is_finished=module.is_finished)
        trainer.fit(module, datamodule=data)
    if trainer.is_global_zero:
        finish(config, module, data, run, blend)
    # Measured by the main process; the tokens of all processes follow from it.
    prior = trainer.strategy.broadcast(networks.alignment_prior.cpu())
    networks.alignment_prior.copy_(prior)
    return control.received


def finish(
    config: RunConfig, module: VoiceCloner, data: VoiceDataModule, run: RunDir, blend: Blend
) -> None:
    """Writes the voice bundle, the curves and the report.

    A voice that was listened to is that of the best checkpoint, which may be the un-tuned one.
    """
    networks = module.judged_networks
    judged = module.error_limit is not None
    if judged:
        prefix = "networks." if module.average is None else "average.module."
        best = AtomicCheckpointIO().load_checkpoint(run.best_checkpoint)
        restore_networks(networks, best, prefix)
    blend.apply(networks)
    if "tokenizer" in config.train.modules:
        # Always the same batches, and whole ones: a resumed run, or one of several processes, must
        # measure what a straight one alone does.
        data.update, data.trainer = 0, None
        measure_prior(networks, islice(data.train_dataloader(), _PRIOR_BATCHES))
        module.networks.alignment_prior.copy_(networks.alignment_prior)
    speakers = data.own_speakers
    embeddings = [mean_embedding(networks, data.recordings_of(speaker)) for speaker in speakers]
    bundle = Bundle(
        networks=networks,
        audio=config.audio,
        speakers=speakers,
        embeddings=torch.cat(embeddings).cpu(),
        name=config.data.name,
        language=config.data.language,
        about={
            "updates": module.best_update if judged else module.update,
            "minutes": round(module.minutes, 2),
            # Only its name: a shared voice tells nothing of its maker's folders.
            "init": Path(config.init).name,
            "modules": list(config.train.modules),
        },
        lexicon=data.lexicon,
        discriminators=discriminator_weights(module),
    )
    save_bundle(run.voice, bundle)
    rows = read_metrics(run.metrics)
    chosen = (module.best_average or [module.best_update]) if judged else None
    trained = module.adapters.trained_size(module.networks)
    write_report(run, config, rows, networks.parameter_counts(), trained, chosen)
    _LOG.info("voice: %s   report: %s", run.voice, run.report)


def datamodule(config: RunConfig, networks: Networks) -> VoiceDataModule:
    """The data of a run, with tokens where these are trained on."""
    needs_audio = "vocoder" in config.train.modules
    data = replace(config.data, with_audio=config.data.with_audio and needs_audio)
    cache = Path(config.run.cache)
    if not needs_tokens(config):
        return VoiceDataModule(data, config.audio, cache)
    tokenizing = Tokenizing(networks, config.audio, torch.device("cpu"))
    return VoiceDataModule(data, config.audio, cache, tokenizing, tokenizing.fingerprint)


def rows_trained_on(config: RunConfig) -> list[Utterance]:
    """The voice's recordings: those that are trained on, and those that are held out."""
    rows = read_manifest(config.data.manifest, check_audio=False)
    train = training_rows(rows, config.data.train_seconds)
    return train + [row for row in rows if row.split != "train"]


def restore_networks(
    networks: Networks, checkpoint: dict[str, Any], prefix: str = "networks."
) -> None:
    """Loads a run's networks out of its checkpoint; tokens are made before the module is."""
    state = checkpoint["state_dict"]
    networks.load_state_dict(
        {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    )


def take_back(module: VoiceCloner, checkpoint: dict[str, Any], run: RunDir) -> None:
    """Gives a module the state of the run's checkpoint.

    Raises:
        InputError: The run has become another one: a manifest with more speakers, for example.
    """
    try:
        module.resume(checkpoint)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(
            f"resume={run.folder}: {run.last_checkpoint} does not fit what the run is now "
            f"({reason}); take back what was changed, or start a new run with init={run.voice}"
        ) from error


def _leave(signal: int, run: RunDir) -> int:
    """Says how to go on, and returns the exit code of an interrupted run."""
    script = str(Path(sys.argv[0]).parent / "train.py")  # data_curve.py trains as well
    command = f"python {shlex.quote(script)} resume={shlex.quote(str(run.folder))}"
    _LOG.info("stopped and saved; go on with: %s", command)
    return INTERRUPTED if signal == 2 else TERMINATED
