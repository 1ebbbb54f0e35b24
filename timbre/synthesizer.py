"""`Synthesizer`: a loaded voice that speaks any text; and the files that the command writes."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from data.audio import read, write_wav
from data.errors import InputError
from data.mel import LogMel
from data.text.frontend import TextFrontend
from gpt.sampling import SamplingConfig
from timbre.bundle import Bundle, find_bundle, load_bundle, mean_embedding
from timbre.speech import speak

_LOG = logging.getLogger(__name__)
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=\S)|(?<=[。！？])[\"'”’)\]」』]*\s*(?=\S)")
"""A point inside 3.5 is none; Chinese and Japanese have no space after theirs."""
_PAUSE_SECONDS = 0.15
"""Between sentences, on top of the silence that each begins and ends with."""
SPEEDS = (0.25, 4.0)


@dataclass(frozen=True)
class SynthesisConfig:
    """What `scripts/synthesize.py` is told."""

    voice: str
    """A bundle, a run, `base`, or the name of a trained voice."""
    output: str
    """WAV file, or with `lines` the folder for 000.wav, 001.wav, …"""
    text: str | None = None
    """What to say."""
    text_file: str | None = None
    """A UTF-8 file that holds what to say."""
    lines: str | None = None
    """A UTF-8 file each line of which becomes a file of its own."""
    reference: str | None = None
    """A recording whose voice to take instead of the bundle's."""
    speaker: str | None = None
    """Which voice of a bundle that has several."""
    language: str | None = None
    """Language of the text; None: the voice's, or English."""
    lexicon: str | None = None
    """A file of words and how they are said, lines `word<TAB>phonemes`; see docs/languages.md."""
    speed: float = 1.0
    """2 speaks twice as fast."""
    temperature: float = 0.6
    """Of the tokens; 0 is always the same, higher is livelier."""
    seed: int = 1
    """Equal seeds give equal speech."""

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.text, self.text_file, self.lines)) != 1:
            raise ValueError('give exactly one of text="…", text_file=FILE and lines=FILE')
        if not SPEEDS[0] <= self.speed <= SPEEDS[1]:
            raise ValueError(f"speed is {self.speed}; give {SPEEDS[0]} to {SPEEDS[1]}")
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; give 0 or more")


class Synthesizer:
    """A voice that speaks.

    Args:
        bundle: The voice.
        reference: Recording whose voice to take instead of the bundle's.
        speaker: Which of the bundle's voices; None: the only one.
        lexicon: A file of words and how they are said; see `data.text.lexicon.Lexicon`.

    Raises:
        InputError: No such speaker, several to choose from, or an unusable reference.
    """

    def __init__(
        self,
        bundle: Bundle,
        reference: Path | None = None,
        speaker: str | None = None,
        lexicon: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self.networks = bundle.networks
        self.networks.vocoder.fold_weight_norm()
        self.sample_rate_hz = bundle.audio.sample_rate_hz
        self.z_spk = (
            self._voice_of(reference) if reference is not None else self._known_voice(speaker)
        )
        self._lexicon = lexicon
        self._frontends: dict[str, TextFrontend] = {}

    def speak(
        self,
        text: str,
        *,
        language: str | None = None,
        speed: float = 1.0,
        sampling: SamplingConfig | None = None,
        seed: int = 1,
    ) -> Float[ndarray, " samples"]:
        """Speaks a text, sentence by sentence.

        Args:
            text: Any length.
            language: Of the text; None: the voice's language, or English.
            speed: 2 speaks twice as fast, at the same pitch.
            sampling: How GPT samples.
            seed: Equal seeds give equal speech.

        Returns:
            Waveform in [-1, 1] at `sample_rate_hz`.

        Raises:
            InputError: The text holds nothing that can be said, or the lexicon cannot be used.
        """
        frontend = self._frontend(language or self.bundle.language or "en")
        generator = torch.Generator().manual_seed(seed)
        pause = np.zeros(round(_PAUSE_SECONDS * self.sample_rate_hz), dtype=np.float32)
        pieces: list[np.ndarray] = []
        for sentence in _sentences(text, frontend):
            speech = speak(
                self.networks,
                frontend(sentence),
                self.z_spk,
                sampling or SamplingConfig(),
                generator,
                speed,
            )
            pieces += [speech.audio.numpy(), pause]
        return np.concatenate(pieces[:-1])

    def _frontend(self, language: str) -> TextFrontend:
        if language not in self._frontends:
            self._frontends[language] = TextFrontend(language, self._lexicon)
        return self._frontends[language]

    def _known_voice(self, speaker: str | None) -> Tensor:
        known = self.bundle.speakers
        if speaker is None and len(known) == 1:
            return self.bundle.embeddings
        if speaker in known:
            index = known.index(speaker)
            return self.bundle.embeddings[index : index + 1]
        listed = ", ".join(known) or "none"
        if speaker is not None:
            raise InputError(f"speaker {speaker!r} is not in this voice; it has: {listed}")
        raise InputError(
            f"this voice has {len(known)} speakers: choose one with speaker=NAME ({listed}), or "
            "give a recording with reference=FILE"
        )

    def _voice_of(self, path: Path) -> Tensor:
        audio = read(path, self.sample_rate_hz)
        if len(audio) < self.sample_rate_hz:
            raise InputError(
                f"reference {path} lasts {len(audio) / self.sample_rate_hz:.2f} s; give at least "
                "1 s of speech, best 5 to 15 s"
            )
        mel = LogMel(self.bundle.audio)(torch.from_numpy(audio)[None])[0]
        return mean_embedding(self.networks, [mel])


def synthesize_files(config: SynthesisConfig) -> None:
    """Runs `scripts/synthesize.py`: loads the voice, speaks, writes WAV files.

    Raises:
        InputError: Voice, text, reference or language cannot be used.
    """
    jobs = _jobs(config)
    synthesizer = Synthesizer(
        load_bundle(find_bundle(config.voice)),
        Path(config.reference) if config.reference is not None else None,
        config.speaker,
        Path(config.lexicon) if config.lexicon is not None else None,
    )
    for text, path in jobs:
        started = time.monotonic()
        audio = synthesizer.speak(
            text,
            language=config.language,
            speed=config.speed,
            sampling=SamplingConfig(temperature=config.temperature),
            seed=config.seed,
        )
        write_wav(path, audio, synthesizer.sample_rate_hz)
        seconds = len(audio) / synthesizer.sample_rate_hz
        spent = time.monotonic() - started
        _LOG.info("%s: %.2f s of speech in %.2f s", path, seconds, spent)


def _jobs(config: SynthesisConfig) -> list[tuple[str, Path]]:
    """Texts and the files that they go to, all checked before anything is loaded."""
    output = Path(config.output)
    if config.lines is None:
        text = config.text if config.text is not None else _read_text(str(config.text_file))
        jobs = [(text, output)]
    else:
        lines = _read_text(config.lines).splitlines()
        jobs = [(line, output / f"{number:03d}.wav") for number, line in enumerate(lines)]
    for number, (text, _) in enumerate(jobs, start=1):
        if not text.strip():
            where = f"{config.lines}:{number}" if config.lines else "text"
            raise InputError(f"{where} is empty: there is nothing to say")
    if not jobs:
        raise InputError(f"lines={config.lines} is empty: there is nothing to say")
    for path in {path for _, path in jobs}:
        path.parent.mkdir(parents=True, exist_ok=True)
    return jobs


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error})") from error


def _sentences(text: str, frontend: TextFrontend) -> list[str]:
    """The text cut at sentence ends, but not after abbreviations; silent pieces are left out.

    Raises:
        InputError: No piece can be said.
    """
    pieces: list[str] = []
    for piece in filter(None, map(str.strip, _SENTENCE_END.split(text))):
        if pieces and not frontend.ends_sentence(pieces[-1]):
            pieces[-1] += f" {piece}"
        else:
            pieces.append(piece)
    spoken = [piece for piece in pieces if any(c.isalnum() for c in piece)]
    if not spoken:
        frontend(text)  # says what is wrong with it
    return spoken
