"""Training examples from feature stores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray
from torch.utils.data import Dataset

from data.augment import AugmentConfig, Augmenter
from data.batch import Example
from data.extraction import dequantize
from data.features import FeatureStore
from data.mel import AudioConfig
from data.token_store import TokenStore

Key = tuple[int, int, int]
"""Update, slot in the global batch, item: all that an example depends on."""


@dataclass(frozen=True)
class Source:
    """A feature store, and its tokens if there is a tokenizer."""

    features: FeatureStore
    """Recordings and phonemes."""
    tokens: TokenStore | None = None
    """Tokens of them; rows without tokens are not used."""
    train_rows: int | None = None
    """Only the first so many rows of the split `train` are used, also as references; None: all."""

    def rows_of(self, split: str) -> Int64[ndarray, " rows"]:
        """Return the usable rows of a split, in order."""
        rows = self.features.rows_of(split)
        if split == "train":
            rows = rows[: self.train_rows]
        return rows if self.tokens is None else np.intersect1d(rows, self.tokens.rows)


@dataclass(frozen=True)
class ExampleConfig:
    """How an example is made of stored features."""

    reference_seconds: tuple[float, float]
    """Shortest and longest reference; a shorter recording is taken whole."""
    with_audio: bool
    """Whether examples hold the waveform."""
    augment: AugmentConfig | None
    """Augmentation; None for validation."""
    seed: int
    """Of references and augmentation."""


class VoiceDataset(Dataset[Example]):
    """The utterances of one split of some sources, numbered through.

    An example is a pure function of its key: update, slot in the global batch, and item. The
    reference is a random stretch of another training recording of the same speaker, or of the same
    recording where there is no other.

    Args:
        sources: where the features are; the items of the first come first.
        split: `train` or `validation`.
        speakers: all speakers; their position is the speaker id.
        config: how an example is made.
        audio_config: geometry of audio and mel.

    Raises:
        ValueError: augmentation and audio exclude each other, or a speaker is not in the list.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        split: str,
        speakers: Sequence[str],
        config: ExampleConfig,
        audio_config: AudioConfig,
    ) -> None:
        self._sources = list(sources)
        self._config = config
        self._augmenter: Augmenter | None = None
        if config.augment is not None:
            if config.augment.warp and config.with_audio:
                raise ValueError(
                    "augment.warp changes the mel but not the audio; set it to 0 or train without "
                    "audio"
                )
            self._augmenter = Augmenter(config.augment, audio_config)
        shortest, longest = config.reference_seconds
        per_second = audio_config.frames_per_second
        self._reference_frames = (
            max(1, round(shortest * per_second)),
            max(1, round(longest * per_second)),
        )
        ids = {name: position for position, name in enumerate(speakers)}
        self._items, self._speakers = _gather(self._sources, split, ids)
        references, reference_speakers = _gather(self._sources, "train", ids)
        self._references = _by_speaker(references, reference_speakers, len(ids))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def lengths(self) -> Int64[ndarray, " items"]:
        """Mel frames of every item."""
        lengths = np.empty(len(self), dtype=np.int64)
        for number, source in enumerate(self._sources):
            items = self.items_of(number)
            lengths[items] = source.features.frames[self._items[items, 1]]
        return lengths

    def items_of(self, source: int) -> Int64[ndarray, " source_items"]:
        """Return the items that come from one of the sources."""
        return np.flatnonzero(self._items[:, 0] == source)

    def speakers_of(self, source: int) -> list[int]:
        """Return the ids of the speakers that one of the sources has items of, sorted."""
        ids: list[int] = np.unique(self._speakers[self.items_of(source)]).tolist()
        return ids

    def recordings_of(self, speaker: int, limit: int) -> Iterator[torch.Tensor]:
        """Yield mels `[mels, frames]` of the first `limit` training recordings of a speaker."""
        for source, row in self._references[speaker][:limit].tolist():
            yield torch.from_numpy(_time_last(self._sources[source].features[row].mel))

    def __getitem__(self, key: Key) -> Example:
        update, slot, item = key
        rng = np.random.default_rng([self._config.seed, update, slot])
        source, row = self._items[item].tolist()
        speaker = int(self._speakers[item])
        stored = self._sources[source].features[row]
        mel, f0 = _time_last(stored.mel), np.array(stored.f0)
        reference = self._reference(source, row, speaker, rng)
        if self._augmenter is not None:
            factor = self._augmenter.warp_factor(rng)
            if factor != 1.0:
                mel, f0 = self._augmenter.warp(mel, factor), f0 * np.float32(factor)
                reference = self._augmenter.warp(reference, factor)
            reference = self._augmenter.reference(reference, rng)
        tokens, durations = None, None
        if (token_store := self._sources[source].tokens) is not None:
            tokens, durations = map(_integers, token_store.of_row(row))
        return Example(
            id=stored.id,
            audio=torch.from_numpy(dequantize(stored.audio)) if self._config.with_audio else None,
            mel=torch.from_numpy(mel),
            f0=torch.from_numpy(f0),
            phonemes=_integers(stored.phonemes),
            marks=_integers(stored.marks),
            tokens=tokens,
            durations=durations,
            reference=torch.from_numpy(reference),
            speaker=speaker,
        )

    def _reference(
        self, source: int, row: int, speaker: int, rng: np.random.Generator
    ) -> Float32[ndarray, "mels reference_frames"]:
        """Crop a stretch of another recording of the speaker."""
        candidates = self._references[speaker]
        own = np.flatnonzero((candidates == (source, row)).all(axis=1))
        others = len(candidates) - len(own)
        if others > 0:
            choice = int(rng.integers(others))
            choice += bool(len(own)) and choice >= own[0]  # step over the item itself
            source, row = candidates[choice].tolist()
        mel = self._sources[source].features[row].mel
        shortest, longest = self._reference_frames
        size = min(int(rng.integers(shortest, longest + 1)), len(mel))
        start = int(rng.integers(len(mel) - size + 1))
        return _time_last(mel[start : start + size])


def _gather(
    sources: Sequence[Source], split: str, speaker_ids: dict[str, int]
) -> tuple[Int64[ndarray, "items 2"], Int64[ndarray, " items"]]:
    """Return (source, row) and speaker id of all rows of a split."""
    items, speakers = [], []
    for number, source in enumerate(sources):
        if unknown := set(source.features.speakers) - set(speaker_ids):
            raise ValueError(f"speakers {sorted(unknown)} are not in the list of speakers")
        rows = source.rows_of(split)
        ids = np.array([speaker_ids[name] for name in source.features.speakers], dtype=np.int64)
        items.append(np.stack([np.full_like(rows, number), rows], axis=1))
        speakers.append(ids[source.features.speaker_indices[rows]])
    return np.concatenate(items), np.concatenate(speakers)


def _by_speaker(
    items: Int64[ndarray, "items 2"], speakers: Int64[ndarray, " items"], count: int
) -> list[ndarray]:
    """Return the items of each speaker."""
    order = np.argsort(speakers, kind="stable")
    starts = np.searchsorted(speakers[order], np.arange(1, count))
    return np.split(items[order], starts)


def _time_last(mel: ndarray) -> Float32[ndarray, "mels frames"]:
    return np.ascontiguousarray(mel.T, dtype=np.float32)


def _integers(values: ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64))
