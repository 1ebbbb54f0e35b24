"""From an utterance to the arrays that training reads, in this process or in several."""

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int16
from numpy import ndarray

from data import audio as audio_files
from data.errors import InputError
from data.manifest import Utterance
from data.mel import AudioConfig, LogMel
from data.packed import PackedField
from data.pitch_track import PitchTracker
from data.text.frontend import TextFrontend

_CHUNK_UTTERANCES = 16  # per task of a worker: one extractor (50 ms to make) serves them all
_WORTH_A_WORKER = 200  # utterances, 10 s of work; a new process imports torch for half as long


def feature_fields(config: AudioConfig) -> tuple[PackedField, ...]:
    """Return what `FeatureExtractor` makes of an utterance, and how it is stored."""
    return (
        PackedField("audio", "int16"),
        PackedField("mel", "float16", (config.mel_channels,)),
        PackedField("f0", "float32"),
        PackedField("phonemes", "uint16"),
        PackedField("marks", "uint8", (4,)),
    )


def quantize(audio: Float32[ndarray, " samples"]) -> Int16[ndarray, " samples"]:
    """Return the audio as 16-bit samples; exact for audio that came from a 16-bit file."""
    return np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16)


def dequantize(audio: Int16[ndarray, " samples"]) -> Float32[ndarray, " samples"]:
    """Return 16-bit samples as floats in [-1, 1)."""
    return audio.astype(np.float32) / 32768.0


class FeatureExtractor:
    """Makes the features of one utterance after the other."""

    def __init__(self, config: AudioConfig, lexicon: Path | None = None) -> None:
        self._config = config
        self._lexicon = lexicon
        self._log_mel = LogMel(config)
        self._pitch = PitchTracker(config)
        self._frontends: dict[str, TextFrontend] = {}

    def __call__(self, utterance: Utterance) -> dict[str, ndarray]:
        """Return the arrays named by `feature_fields`.

        Raises:
            InputError: the audio or the text cannot be used; names the utterance.
        """
        audio = quantize(self._padded_audio(utterance))
        heard = dequantize(audio)  # mel and pitch of the very samples that are stored
        with torch.no_grad():
            mel = self._log_mel(torch.from_numpy(heard)[None])[0]
        if utterance.language not in self._frontends:
            self._frontends[utterance.language] = TextFrontend(utterance.language, self._lexicon)
        try:
            phonemes = self._frontends[utterance.language](utterance.text)
        except InputError as error:
            raise InputError(f"utterance {utterance.id}: {error}") from error
        return {
            "audio": audio,
            "mel": mel.T.contiguous().numpy().astype(np.float16),
            "f0": self._pitch(heard),
            "phonemes": np.asarray(phonemes.ids).astype(np.uint16),
            "marks": np.asarray(phonemes.marks).astype(np.uint8),
        }

    def _padded_audio(self, utterance: Utterance) -> Float32[ndarray, " samples"]:
        """Read the recording, with silence up to a whole number of frames."""
        audio = audio_files.read(utterance.audio, self._config.sample_rate_hz)
        if len(audio) < self._log_mel.min_samples:
            raise InputError(
                f"utterance {utterance.id}: {utterance.audio} lasts only {len(audio)} samples at "
                f"{self._config.sample_rate_hz} Hz; take it out of the manifest"
            )
        return np.pad(audio, (0, -len(audio) % self._config.hop_samples))


def extract_all(
    utterances: Sequence[Utterance],
    config: AudioConfig,
    workers: int,
    lexicon: Path | None = None,
) -> Iterator[dict[str, ndarray]]:
    """Yield the features of all utterances, in order.

    Args:
        utterances: what to read.
        config: geometry of audio and mel.
        workers: processes to use; 0 works in this one, as do a few utterances.
        lexicon: file of words and how they are said.

    Raises:
        InputError: an utterance cannot be used.
    """
    workers = min(workers, len(utterances) // _WORTH_A_WORKER)
    if workers < 1:
        extract = FeatureExtractor(config, lexicon)
        yield from map(extract, utterances)
        return
    starts = range(0, len(utterances), _CHUNK_UTTERANCES)
    chunks = (list(utterances[start : start + _CHUNK_UTTERANCES]) for start in starts)
    pending: deque[Future[list[dict[str, ndarray]]]] = deque()
    # Spawned, not forked: a fork of a process whose torch threads ran can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        for chunk in chunks:
            pending.append(pool.submit(_extract_chunk, chunk, config, lexicon))
            # No more in flight than keeps the workers busy: finished features take memory.
            if len(pending) == 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _one_thread() -> None:
    torch.set_num_threads(1)  # there is one process a core


def _extract_chunk(
    utterances: Sequence[Utterance], config: AudioConfig, lexicon: Path | None
) -> list[dict[str, ndarray]]:
    extract = FeatureExtractor(config, lexicon)
    return [extract(utterance) for utterance in utterances]
