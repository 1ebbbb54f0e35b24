"""The data module: manifests in, endless and exactly resumable batches out."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from data.augment import AugmentConfig
from data.batch import Batch, collate
from data.batches import BatchOrder, Order, ReplayOrder, fixed_batches, shard
from data.config import DataConfig
from data.dataset import ExampleConfig, Source, VoiceDataset
from data.errors import InputError
from data.features import FeatureStore
from data.known_stores import KnownStore
from data.manifest import read_manifest, training_rows
from data.manifest_rows import ManifestRows
from data.mel import AudioConfig
from data.token_store import Tokenize, TokenStore
from data.workers import leave_signals_to_the_trainer

_LOG = logging.getLogger(__name__)
_VALIDATION_SEED = 0  # the same references in every run, whatever its seed: runs are compared


class EndlessBatches(IterableDataset[Batch]):
    """The batches of one process from an update on, for ever, whatever the number of workers.

    An iterable data set rather than a batch sampler: Lightning replaces samplers under DDP.

    Args:
        dataset: makes the examples.
        order: says which items are in the batch of an update.
        audio_config: geometry of audio and mel.
        rank: number of this process.
        world: number of processes that share each batch.
        start: update of the first batch.
    """

    def __init__(
        self,
        dataset: VoiceDataset,
        order: Order,
        audio_config: AudioConfig,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
    ) -> None:
        self.start = start
        self._dataset = dataset
        self._order = order
        self._audio_config = audio_config
        self._rank = rank
        self._world = world

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        # DataLoader takes one batch from each worker in turn.
        offset, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for update in count(self.start + offset, step):
            yield self.batch(update)

    def batch(self, update: int) -> Batch:
        """Return this process's part of the batch of an update."""
        items = shard(self._order.at(update), self._rank, self._world)
        return collate([self._dataset[update, slot, i] for slot, i in items], self._audio_config)


class ValidationBatches(Dataset[Batch]):
    """The validation utterances in fixed batches, each with the same reference every time."""

    def __init__(
        self, dataset: VoiceDataset, batches: list[list[int]], audio_config: AudioConfig
    ) -> None:
        self._dataset = dataset
        self._batches = batches
        self._audio_config = audio_config

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        items = self._batches[index]
        return collate([self._dataset[0, item, item] for item in items], self._audio_config)


class VoiceDataModule(LightningDataModule):
    """Serves a voice to a trainer.

    Training batches are endless, so a run has one epoch; validate by `val_check_interval` with
    `check_val_every_n_epoch=None`. To resume, set `update`. Give it to the trainer whole
    (`trainer.fit(module, datamodule=...)`): a module without a trainer takes itself for the only
    process, and under DDP all processes would train on the same items.

    Args:
        config: what is trained on.
        audio_config: geometry of audio and mel.
        cache_folder: where features are kept between runs.
        tokenize: makes the semantic tokens; None serves batches without.
        tokenizer_fingerprint: changes whenever `tokenize` may answer differently.

    Raises:
        InputError: the configuration wants warped mels together with audio.
    """

    def __init__(
        self,
        config: DataConfig,
        audio_config: AudioConfig,
        cache_folder: Path,
        tokenize: Tokenize | None = None,
        tokenizer_fingerprint: str = "",
    ) -> None:
        super().__init__()
        if config.augment.warp and config.with_audio:
            raise InputError(
                f"data.augment.warp={config.augment.warp} changes the mel but not the audio, which "
                "a vocoder is trained on; set data.augment.warp=0, or train the vocoder by itself"
            )
        self.config = config
        self.audio_config = audio_config
        self.update = 0
        """Update of a training loader's first batch; set it before the loader is made."""
        self.speakers: list[str] = []
        """All speakers, sorted; their position is the speaker id. Known after `setup`."""
        self._cache_folder = cache_folder
        self._tokenize = tokenize
        self._tokenizer_fingerprint = tokenizer_fingerprint
        self._datasets: dict[str, VoiceDataset] = {}
        self._order: Order | None = None
        self._validation: DataLoader[Batch] | None = None

    @property
    def lexicon(self) -> Path | None:
        """File of words and how the voice says them."""
        return Path(self.config.lexicon) if self.config.lexicon else None

    def setup(self, stage: str | None = None) -> None:
        """Open the features, computing those that are not there yet.

        Raises:
            InputError: a manifest, recording or text cannot be used.
        """
        if self._datasets:
            return
        config = self.config
        own = self._source(config.manifest, config.language, self.lexicon)
        if config.train_seconds:
            rows = read_manifest(config.manifest, check_audio=False)
            own = replace(own, train_rows=len(training_rows(rows, config.train_seconds)))
        sources = [own]
        if config.replay.manifest:
            sources.append(self._source(config.replay.manifest, language="", lexicon=None))
        self.speakers = sorted({name for s in sources for name in s.features.speakers})
        self._datasets = {
            "train": self._dataset(sources, "train", config.augment, config.seed),
            "validation": self._dataset(sources[:1], "validation", None, _VALIDATION_SEED),
        }
        self._order = self._training_order(self._datasets["train"])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the endless loader whose k-th batch is that of update `self.update + k`."""
        if self._order is None:
            raise RuntimeError("call setup() before train_dataloader()")
        rank, world = 0, 1
        if self.trainer is not None:
            rank, world = self.trainer.global_rank, self.trainer.world_size
        batches = EndlessBatches(
            self._datasets["train"],
            self._order,
            self.audio_config,
            rank=rank,
            world=world,
            start=self.update,
        )
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self.config.workers,
            worker_init_fn=leave_signals_to_the_trainer,
            pin_memory=self._on_cuda(),
        )

    @property
    def own_speakers(self) -> list[str]:
        """The speakers of the voice: not the replay's, nor those it never trains on. Sorted."""
        return [self.speakers[number] for number in self._datasets["train"].speakers_of(0)]

    @property
    def updates_per_epoch(self) -> int:
        """Updates in which every recording of the voice is trained on once. Known after `setup`."""
        if self._order is None:
            raise RuntimeError("call setup() before updates_per_epoch")
        return self._order.batches_per_epoch

    def largest_batch(self) -> Batch:
        """Return the batch of the first epoch that has most frames, padding included."""
        if self._order is None:
            raise RuntimeError("call setup() before largest_batch()")
        lengths = self._datasets["train"].lengths

        def padded_frames(update: int) -> int:
            items = self._order.at(update) if self._order is not None else []
            return len(items) * int(lengths[items].max())

        update = max(range(self.updates_per_epoch), key=padded_frames)
        return EndlessBatches(self._datasets["train"], self._order, self.audio_config).batch(update)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the validation loader, the same at every call; none without such utterances."""
        if self._validation is not None:
            return self._validation
        dataset = self._datasets["validation"]
        if not len(dataset):
            _LOG.warning("%s has no validation utterances", self.config.manifest)
            return []
        limit = self.config.validation_items or len(dataset)
        items = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset)), dtype=int))
        batches = fixed_batches(
            dataset.lengths[items], self.config.max_frames, self.config.max_items
        )
        self._validation = DataLoader(
            ValidationBatches(dataset, [items[b].tolist() for b in batches], self.audio_config),
            batch_size=None,
            # A loader draws a seed for workers that it does not even have: not from training's.
            generator=torch.Generator(),
            pin_memory=self._on_cuda(),
        )
        return self._validation

    def recordings_of(self, speaker: str, limit: int = 40) -> Iterator[torch.Tensor]:
        """Yield mels `[mels, frames]` of a speaker's first training recordings."""
        return self._datasets["train"].recordings_of(self.speakers.index(speaker), limit)

    def _source(self, manifest: str, language: str, lexicon: Path | None) -> Source:
        known = KnownStore(Path(manifest), self.audio_config, self._cache_folder, lexicon)
        features = known.open()
        if features is None:
            utterances = ManifestRows(manifest)
            _check_language(manifest, utterances.languages, language)
            features = FeatureStore.open_or_build(
                utterances, self.audio_config, self._cache_folder, self.config.workers, lexicon
            )
            known.remember(features)
        _check_language(manifest, features.languages, language)
        if self._tokenize is None:
            return Source(features)
        return Source(
            features,
            TokenStore.open_or_build(
                features, self._tokenize, self._tokenizer_fingerprint, self._cache_folder
            ),
        )

    def _dataset(
        self, sources: list[Source], split: str, augment: AugmentConfig | None, seed: int
    ) -> VoiceDataset:
        shortest, longest = self.config.reference_seconds
        config = ExampleConfig(
            reference_seconds=(shortest, longest),
            with_audio=self.config.with_audio,
            augment=augment,
            seed=seed,
        )
        return VoiceDataset(sources, split, self.speakers, config, self.audio_config)

    def _training_order(self, dataset: VoiceDataset) -> Order:
        config, lengths = self.config, dataset.lengths
        own = lengths[dataset.items_of(0)]
        if not len(own):
            raise InputError(
                f"{config.manifest}: no usable utterance has the split 'train'; prepare the voice "
                "again"
            )
        limits = (config.max_frames, config.max_items, config.seed, config.length_jitter)
        if not config.replay.manifest:
            return BatchOrder(own, *limits)
        replay = lengths[dataset.items_of(1)]
        if not len(replay):
            raise InputError(
                f"{config.replay.manifest}: no usable utterance has the split 'train'; choose "
                "another data.replay.manifest, or none"
            )
        return ReplayOrder(own, replay, config.replay.fraction, *limits)

    def _on_cuda(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"


def _check_language(manifest: str, found: Sequence[str], wanted: str) -> None:
    if wanted and (others := set(found) - {wanted}):
        raise InputError(
            f"{manifest}: has utterances in {', '.join(sorted(others))}, but data.language is "
            f"{wanted!r}; correct one of them, or leave data.language empty to allow any"
        )
