"""Synthesis: its parts, a sentence, the first chunk of a stream, and how the cost grows."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from data.mel import AudioConfig
from data.text.frontend import Phonemes
from data.text.symbols import MARK_SIZES, SYMBOLS
from gpt.decoding import Generated
from gpt.packed import best_weights
from gpt.sampling import SamplingConfig
from timbre.measuring.measurement import Measurement, PeakMemory, measurement, rounds
from timbre.networks import ModelConfig, Networks
from timbre.speech import padded, speak, speak_all
from timbre.streaming import PieceStream

_PHONEMES_A_SECOND = 12
_TOKENS_PER_PHONEME = 2
"""Nearly what English has (1.8 at 23.4 tokens/s): random weights never end a phoneme themselves."""
_GROWTH = (1, 2, 4, 8)
_MANY = 100


class Speaking:
    """A voice with random weights, and texts of random phonemes for it.

    Args:
        model: Sizes.
        audio: Geometry of the mel.
        seconds: Length of a sentence.
        repeats: Measured runs, after one that warms up.
        device: Where to compute.
        clock: What is measured, one of `CLOCKS`.
    """

    def __init__(
        self,
        model: ModelConfig,
        audio: AudioConfig,
        seconds: float,
        repeats: int,
        device: torch.device,
        clock: str,
    ) -> None:
        torch.manual_seed(0)
        gpt = replace(model.gpt, max_tokens_per_phoneme=_TOKENS_PER_PHONEME)
        self.networks = Networks(replace(model, gpt=gpt), audio).to(device).eval()
        with torch.no_grad():
            self.networks.gpt.head.bias[-1] = -1e4  # every phoneme is ended by its bound
        self.networks.vocoder.fold_weight_norm()
        self.networks.gpt.prepare()
        self.device, self.audio = device, audio
        self._rounds = partial(rounds, repeats=repeats, device=device, clock=clock)
        self.dtype = best_weights(device)
        self.z_spk = torch.randn(1, gpt.speaker_channels, device=device)
        ids, marks = random_text(seconds, torch.Generator().manual_seed(0))
        self.sentence = Phonemes(ids.numpy(), marks.numpy(), words=[], word_spans=[])

    def generator(self) -> torch.Generator:
        """The same randomness for every run."""
        return torch.Generator(self.device).manual_seed(0)

    def parts(self) -> Iterator[Measurement]:
        """GPT, decoder and vocoder alone, and the whole way from phonemes to a waveform."""
        with torch.inference_mode():
            written = self._write([self.sentence])
            mel = self._decode(written)
        speech_seconds = int(written.token_lengths[0]) / self.audio.tokens_per_second
        parts: dict[str, Callable[[], object]] = {
            "gpt": lambda: self._write([self.sentence]),
            "decoder": lambda: self._decode(written),
            "vocoder": lambda: self.networks.vocoder(mel, generator=self.generator()),
            "sentence": lambda: self._speak(self.sentence),
        }
        with torch.inference_mode():
            times = self._rounds(parts)
        for name, seconds in times.medians.items():
            real_time = self.audio.tokens_per_second if name == "gpt" else 1.0
            rtf = seconds / speech_seconds
            yield measurement(
                f"speak/{name}",
                real_time / rtf if name == "gpt" else rtf,
                "tokens/s" if name == "gpt" else "rtf",
                (real_time, "real time"),
                times.peak_mb[name],
                self.device,
                self.dtype if name == "gpt" else "float32",
            )

    def first_chunk(self) -> Iterator[Measurement]:
        """Time until the first chunk of a stream can be heard, beside the whole sentence."""

        def begin() -> None:
            next(self._stream())

        parts: dict[str, Callable[[], object]] = {
            "first": begin,
            "stream": lambda: list(self._stream()),
            "sentence": lambda: self._speak(self.sentence),
        }
        times = self._rounds(parts)
        yield measurement(
            "speak/first_chunk",
            1000 * times.medians["first"],
            "ms",
            (1000 * times.medians["sentence"], "the whole sentence"),
            times.peak_mb["first"],
            self.device,
            self.dtype,
            more={"stream_over_sentence": times.ratio("stream", "sentence")},
        )

    def growth(self) -> Iterator[Measurement]:
        """Seconds of texts of 1, 2, 4, 8 sentences, and of so many sentences written at once."""

        def read(count: int) -> Callable[[], object]:
            # One after the other, as a long text is spoken, nothing kept.
            return lambda: [len(self._speak(self.sentence)) for _ in range(count)]

        def batch(count: int) -> Callable[[], object]:
            return lambda: self._speak_batch(count)

        for name, make in (("text", read), ("batch", batch)):
            times = self._rounds({f"{n}x": make(n) for n in _GROWTH})
            for count in _GROWTH:
                part = f"{count}x"
                proportional = [count * seconds for seconds in times.each["1x"]]
                yield measurement(
                    f"growth/{name}_{part}",
                    times.medians[part],
                    "seconds",
                    (statistics.median(proportional), "proportional to 1x"),
                    times.peak_mb[part],
                    self.device,
                    self.dtype,
                    more={"memory_over_1x": times.peak_mb[part] / times.peak_mb["1x"]},
                )

    def memory(self) -> Iterator[Measurement]:
        """Highest memory of a hundred sentences, one after the other, beside that of one."""

        def peak(count: int) -> float:
            gc.collect()
            memory = PeakMemory(self.device)
            for _ in range(count):
                self._speak(self.sentence)
            return memory.megabytes()

        peak(1)
        one, many = peak(1), peak(_MANY)
        yield measurement(
            f"growth/memory_{_MANY}_sentences",
            many,
            "MB",
            (one, "one sentence"),
            many,
            self.device,
            self.dtype,
        )

    def _stream(self) -> Iterator[object]:
        return PieceStream(
            self.networks, self.sentence, self.z_spk, SamplingConfig(), self.generator()
        ).chunks()

    def _speak(self, text: Phonemes) -> Tensor:
        audio: Tensor = speak(
            self.networks, text, self.z_spk, SamplingConfig(), self.generator()
        ).audio
        return audio

    def _speak_batch(self, count: int) -> object:
        texts = [self.sentence] * count
        z_spk = self.z_spk.expand(count, -1)
        return speak_all(self.networks, texts, z_spk, SamplingConfig(), self.generator())

    def _write(self, texts: list[Phonemes]) -> Generated:
        ids, marks, lengths = padded(texts, self.device)
        return self.networks.gpt.generate(
            ids, marks, lengths, self.z_spk, SamplingConfig(), self.generator()
        )

    def _decode(self, written: Generated) -> Tensor:
        mel: Tensor = self.networks.sovits.decoder.sample(
            written.latents, written.token_lengths, self.z_spk, self.generator()
        )
        return mel


def random_text(seconds: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Phonemes `[phonemes]` and marks `[phonemes, 4]` of about as long a sentence."""
    size = round(seconds * _PHONEMES_A_SECOND)
    ids = torch.randint(1, len(SYMBOLS), (size,), generator=generator)
    marks = [torch.randint(n, (size,), generator=generator) for n in MARK_SIZES.values()]
    return ids, torch.stack(marks, dim=1)
