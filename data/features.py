"""The feature store: everything that training reads of a set of utterances, computed once."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, Int16, Int64, UInt8, UInt16
from numpy import ndarray

from data.errors import InputError
from data.extraction import extract_all, feature_fields
from data.manifest import SPLITS, Utterance
from data.mel import AudioConfig
from data.packed import PackedArrays, PackedField, Row, open_or_build_packed
from data.pitch_track import pitch_method
from data.text.frontend import TextFrontend

_FORMAT = 1  # raise it when the features of an unchanged utterance change


@dataclass(frozen=True)
class Features:
    """One stored utterance; the arrays are read-only views of the files."""

    id: str
    """Name of the utterance."""
    speaker: str
    """Name of the voice."""
    language: str
    """Language code."""
    split: str
    """`train` or `validation`."""
    text: str
    """What is said, as written language."""
    audio: Int16[ndarray, " samples"]
    """Samples, `frames * hop`; divide by 32768."""
    mel: Float16[ndarray, "frames mels"]
    """Natural-log mel; frames first, so that a crop in time reads one stretch of the file."""
    f0: Float32[ndarray, " frames"]
    """Pitch in Hz, 0 where unvoiced."""
    phonemes: UInt16[ndarray, " phonemes"]
    """Symbol ids."""
    marks: UInt8[ndarray, "phonemes 4"]
    """Stress, word start, punctuation and language of each phoneme."""


class FeatureStore:
    """The features of a manifest, memory-mapped; see `data.packed` for the files."""

    def __init__(self, folder: Path) -> None:
        self.packed = PackedArrays(folder)
        self._speakers: list[str] = self.packed.extra["speakers"]
        self._languages: list[str] = self.packed.extra["languages"]

    @classmethod
    def open_or_build(
        cls,
        utterances: Sequence[Utterance],
        audio_config: AudioConfig,
        cache_folder: Path,
        workers: int,
        lexicon: Path | None = None,
    ) -> "FeatureStore":
        """Open the store of these utterances, building it first if it is not there.

        Args:
            utterances: what to read; their order is that of the rows.
            audio_config: geometry of audio and mel.
            cache_folder: where stores are kept, one folder each; may be deleted at any time.
            workers: processes that compute features; 0 computes them in this one.
            lexicon: file of words and how they are said.

        Raises:
            InputError: a recording, text or lexicon cannot be used, or the cache cannot be written.
        """
        fingerprint = feature_fingerprint(utterances, audio_config, lexicon)
        speakers = sorted({utterance.speaker for utterance in utterances})
        languages = sorted({utterance.language for utterance in utterances})
        speaker_ids = {name: number for number, name in enumerate(speakers)}

        def make_rows(start: int) -> Iterator[Row]:
            rest = utterances[start:]
            features = extract_all(rest, audio_config, workers, lexicon)
            for utterance, row in zip(rest, features, strict=True):
                labels = (
                    speaker_ids[utterance.speaker],
                    languages.index(utterance.language),
                    SPLITS.index(utterance.split),
                )
                yield {
                    **row,
                    "id": _encoded(utterance.id),
                    "text": _encoded(utterance.text),
                    "labels": np.array([labels], dtype=np.uint32),
                }

        folder = Path(cache_folder) / f"features-{fingerprint[:20]}"
        fields = (
            *feature_fields(audio_config),
            PackedField("id", "uint8"),
            PackedField("text", "uint8"),
            PackedField("labels", "uint32", (3,)),
        )
        extra = {"speakers": speakers, "languages": languages}
        open_or_build_packed(folder, fingerprint, fields, len(utterances), make_rows, lambda: extra)
        return cls(folder)

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, index: int) -> Features:
        speaker, language, split = self.packed.row(index, "labels")[0]
        return Features(
            id=_decoded(self.packed.row(index, "id")),
            speaker=self._speakers[speaker],
            language=self._languages[language],
            split=SPLITS[split],
            text=_decoded(self.packed.row(index, "text")),
            audio=self.packed.row(index, "audio"),
            mel=self.packed.row(index, "mel"),
            f0=self.packed.row(index, "f0"),
            phonemes=self.packed.row(index, "phonemes"),
            marks=self.packed.row(index, "marks"),
        )

    @property
    def fingerprint(self) -> str:
        """Identifies the content: equal fingerprints, equal features."""
        return self.packed.fingerprint

    @property
    def speakers(self) -> list[str]:
        """Names of all voices, sorted."""
        return list(self._speakers)

    @property
    def languages(self) -> list[str]:
        """Codes of all languages, sorted."""
        return list(self._languages)

    @property
    def frames(self) -> Int64[ndarray, " rows"]:
        """Mel frames of every row."""
        return self.packed.lengths("mel")

    @property
    def speaker_indices(self) -> Int64[ndarray, " rows"]:
        """Position in `speakers` of every row's voice."""
        return self.packed.column("labels")[:, 0].astype(np.int64)

    def rows_of(self, split: str) -> Int64[ndarray, " split_rows"]:
        """Return the rows of a split, in order."""
        return np.flatnonzero(self.packed.column("labels")[:, 2] == SPLITS.index(split))


def feature_fingerprint(
    utterances: Sequence[Utterance], config: AudioConfig, lexicon: Path | None = None
) -> str:
    """Return the SHA-256 of everything that the features depend on, audio contents included.

    Raises:
        InputError: an audio file cannot be read.
    """
    digest = hashlib.sha256()
    # What networks normalise the mel with does not change the mel.
    geometry = {k: v for k, v in asdict(config).items() if k not in ("mel_mean", "mel_std")}
    languages = sorted({utterance.language for utterance in utterances})
    frontends = [TextFrontend(code, lexicon).version for code in languages]
    for part in (_FORMAT, geometry, frontends, pitch_method()):
        digest.update(json.dumps(part).encode())
    for utterance in utterances:
        try:
            with utterance.audio.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(
                f"utterance {utterance.id}: cannot read {utterance.audio} ({error}); correct the "
                "manifest or prepare the voice again"
            ) from error
        row = (utterance.id, utterance.text, utterance.language, utterance.speaker)
        digest.update(json.dumps([*row, utterance.split, content]).encode())
    return digest.hexdigest()


def _encoded(text: str) -> ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _decoded(row: ndarray) -> str:
    return row.tobytes().decode()
