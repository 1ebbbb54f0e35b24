"""Speaking into files: what `scripts/synthesize.py` does."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile
import torch

from data.audio import pcm
from data.errors import InputError
from data.files import writing
from gpt.packed import WEIGHTS
from timbre.bundle import find_bundle, load_bundle
from timbre.marking import Watermark
from timbre.synthesizer import Manner, MannerSettings, Synthesizer
from timbre.timestamps import Timing, write_timings
from timbre.voices import parse_mixture, save_vector

_LOG = logging.getLogger(__name__)
STANDARD_OUTPUT = "-"
COMMENT = "synthetic speech"
"""What the header of a file says of it; the watermark says it of the sound."""
TIMESTAMPS = ("json", "srt")


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(MannerSettings):
    """What `scripts/synthesize.py` is told."""

    voice: str
    """A bundle, a run, `base`, or the name of a trained voice; or a mixture of several such as
    `ada:0.7+bob:0.3`, spoken by the networks of the first."""
    output: str
    """WAV file, or with `lines` the folder for 000.wav, 001.wav, …; `-` streams 16-bit samples."""
    text: str | None = None
    """What to say."""
    text_file: str | None = None
    """A UTF-8 file that holds what to say."""
    lines: str | None = None
    """A UTF-8 file each line of which becomes a file of its own."""
    reference: str | None = None
    """Whose voice to take instead of the bundle's: recordings, folders of recordings and saved
    voices, separated by commas; their mean is taken."""
    speaker: str | None = None
    """Which voice of a bundle that has several, or a mixture such as `ada:0.7+bob:0.3`."""
    save_voice: str | None = None
    """A .safetensors file for the vector of the voice, which `reference` reads."""
    language: str | None = None
    """Language of the text; None: the voice's, or English."""
    lexicon: str | None = None
    """A file of words and how they are said, lines `word<TAB>phonemes`; see docs/languages.md."""
    level: bool = True
    """Whether all sentences are brought to one loudness."""
    timestamps: str | None = None
    """`json` (sentences, words, phonemes) or `srt` (subtitles): written beside each WAV file."""
    weights: str | None = None
    """What GPT's weights are kept in: float32, float16, bfloat16 or int8; None: the fastest that
    loses nothing."""
    watermark: bool = True
    """Whether the speech is marked as synthetic, inaudibly; see `timbre.marking`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(value is not None for value in (self.text, self.text_file, self.lines)) != 1:
            raise ValueError('give exactly one of text="…", text_file=FILE and lines=FILE')
        if self.timestamps not in (None, *TIMESTAMPS):
            raise ValueError(f"timestamps is {self.timestamps!r}; give json or srt")
        if self.weights not in (None, *WEIGHTS):
            raise ValueError(f"weights is {self.weights!r}; give one of {', '.join(WEIGHTS)}")
        if self.reference is not None and self.speaker is not None:
            raise ValueError("give reference=FILE or speaker=NAME, not both")
        if self.save_voice is not None and not self.save_voice.endswith(".safetensors"):
            raise ValueError(f"save_voice is {self.save_voice!r}; give a name in .safetensors")
        streams = self.output == STANDARD_OUTPUT
        if streams and (self.lines or self.timestamps or self.candidates > 1):
            raise ValueError(
                "output=- streams one text as it is written: leave lines, timestamps and "
                "candidates out, or give a file"
            )

    @property
    def manner(self) -> Manner:
        """How the texts are said."""
        return replace(super().manner, level=self.level)


def synthesize_files(config: SynthesisConfig) -> None:
    """Loads the voice, speaks, writes WAV files and what else is asked for.

    Raises:
        InputError: Voice, text, reference or language cannot be used.
    """
    jobs = _jobs(config)
    synthesizer = _load(config)
    if config.save_voice is not None:
        save_vector(Path(config.save_voice), synthesizer.z_spk)
    watermark = Watermark() if config.watermark else None
    for text, path in jobs:
        if config.output == STANDARD_OUTPUT:
            _stream(synthesizer, text, config, watermark)
        else:
            _speak_into(path, synthesizer, text, config, watermark)


def _load(config: SynthesisConfig) -> Synthesizer:
    mixture = parse_mixture(config.voice)
    bundles = [load_bundle(find_bundle(name)) for name, _ in mixture]
    reference = [Path(part) for part in config.reference.split(",")] if config.reference else None
    lexicon = Path(config.lexicon) if config.lexicon is not None else None

    def speaking(number: int) -> Synthesizer:
        return Synthesizer(bundles[number], reference, config.speaker, lexicon, config.weights)

    if len(mixture) == 1:
        return speaking(0)
    if reference or config.speaker:
        raise InputError("voice= is a mixture: leave reference and speaker out")
    voices = [speaking(number) for number in range(len(mixture))]
    if len({voice.z_spk.shape for voice in voices}) > 1:
        raise InputError(f"voice={config.voice}: these voices were made by models of other sizes")
    shares = [share for _, share in mixture]
    vectors = [share * v.z_spk.float() for share, v in zip(shares, voices, strict=True)]
    voices[0].z_spk = torch.stack(vectors).sum(0)
    return voices[0]


def _speak_into(
    path: Path,
    synthesizer: Synthesizer,
    text: str,
    config: SynthesisConfig,
    watermark: Watermark | None,
) -> None:
    """Writes piece after piece, so that a book needs no more memory than a sentence."""
    started, samples, timings = time.monotonic(), 0, list[Timing]()
    rate = synthesizer.sample_rate_hz
    with _growing_wav(path, rate) as file:
        for spoken in synthesizer.sentences(text, config.manner, config.language):
            if spoken.timing is not None:
                timings.append(spoken.timing.later(samples / rate))
            elif config.timestamps:
                raise InputError("timestamps need layout=interleaved, and this voice is plain")
            audio = spoken.audio if watermark is None else watermark.mark(spoken.audio, rate)
            file.write(pcm(audio))
            samples += len(audio)
    if config.timestamps:
        write_timings(path.with_suffix(f".{config.timestamps}"), timings)
    spent = time.monotonic() - started
    _LOG.info("%s: %.2f s of speech in %.2f s", path, samples / rate, spent)


def _stream(
    synthesizer: Synthesizer, text: str, config: SynthesisConfig, watermark: Watermark | None
) -> None:
    """Writes 16-bit little-endian mono samples to the standard output as they come."""
    started, samples, first = time.monotonic(), 0, 0.0
    chunks = synthesizer.stream(text, config.manner, config.language)
    if watermark is not None:
        chunks = watermark.mark_stream(chunks, synthesizer.sample_rate_hz)
    for chunk in chunks:
        first = first or time.monotonic() - started
        sys.stdout.buffer.write(pcm(chunk).astype("<i2").tobytes())
        sys.stdout.buffer.flush()
        samples += len(chunk)
    seconds, spent = samples / synthesizer.sample_rate_hz, time.monotonic() - started
    _LOG.info("%.2f s of speech in %.2f s, the first after %.0f ms", seconds, spent, 1000 * first)


@contextmanager
def _growing_wav(path: Path, sample_rate_hz: int) -> Iterator[soundfile.SoundFile]:
    """A 16-bit WAV file that grows; it appears complete or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with soundfile.SoundFile(
            unfinished, "w", sample_rate_hz, 1, subtype="PCM_16", format="WAV"
        ) as file:
            file.software, file.comment = "Timbre", COMMENT
            yield file
        os.replace(unfinished, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(
            f"{path}: cannot write the audio ({error}); check the folder and the free disk space"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


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
    if config.output != STANDARD_OUTPUT:
        _check_places(config.output, [path for _, path in jobs])
    return jobs


def _check_places(output: str, paths: list[Path]) -> None:
    """Makes the folder of the files, and sees whether they may lie there."""
    with writing(f"output={output}", "place", "the folder cannot be made"):
        paths[0].parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        if path.is_dir():
            raise InputError(f"output={output}: {path} is a folder; name a WAV file")


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error})") from error
