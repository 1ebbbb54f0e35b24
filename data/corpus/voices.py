"""Pseudo-speakers: many voices out of a few synthesisers."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.corpus.config import TeacherConfig
from data.corpus.effects import Equalizer, change_rate, equalize, random_equalizer, warp_formants
from data.corpus.teachers import Teacher

_NARROW_CUTOFFS_HZ = (7_200.0, 7_900.0)
"""Recordings at 16 kHz end here."""


@dataclass(frozen=True)
class PseudoVoice:
    """A synthesiser's voice with fixed warps, like a speaker in front of one microphone."""

    name: str
    """Name of the speaker in the manifest."""
    teacher: str
    """Synthesiser."""
    base: str
    """Voice of the synthesiser."""
    pitch: float
    """Rate at which the sound is played; formants move with it."""
    formants: float
    """Shift of the formants on top of that."""
    pace: float
    """Speaking pace relative to the base voice."""
    equalizer: Equalizer
    """Frequency response of the pretended microphone and room."""

    @property
    def recipe(self) -> str:
        """Every setting as text: what a clip of this voice depends on."""
        return repr(sorted(asdict(self).items()))


def pseudo_voices(config: TeacherConfig, seed: int) -> list[PseudoVoice]:
    """Draw the pseudo-speakers of one synthesiser's voice.

    Rates lie on a logarithmic grid with some jitter, so that no two voices coincide; formant
    shift, pace and equaliser are random. Every voice depends on `seed` and its own name only.
    """
    voices: list[PseudoVoice] = []
    narrow = round(config.narrow_share * config.voices)
    for number in range(config.voices):
        name = f"{config.teacher}-{config.base.replace('*', '')}-{number:02d}"
        generator = np.random.default_rng([seed, seed_of(name)])
        place = (number + 0.5 + generator.uniform(-0.3, 0.3)) / config.voices
        pitch = config.pitch_low * (config.pitch_high / config.pitch_low) ** place
        position = pitch**config.formant_slope
        position *= np.exp(generator.normal(0.0, config.formant_spread))
        position = np.clip(position, config.formant_low, config.formant_high)
        pace = generator.uniform(config.pace_low, config.pace_high)
        pace = min(pace, config.speed_high * pitch)
        # Spread over the grid, so that narrow recordings are not all of one pitch.
        is_narrow = (number + 1) * narrow // config.voices > number * narrow // config.voices
        cutoff_hz = float(generator.uniform(*_NARROW_CUTOFFS_HZ)) if is_narrow else 0.0
        voices.append(
            PseudoVoice(
                name=name,
                teacher=config.teacher,
                base=config.base.replace("*", str(seed_of(f"{seed} {name}"))),
                pitch=round(float(pitch), 4),
                formants=round(float(position / pitch), 4),
                pace=round(float(pace), 3),
                equalizer=random_equalizer(generator, cutoff_hz),
            )
        )
    return voices


def render(
    voice: PseudoVoice, teacher: Teacher, text: str, seed: int, sample_rate_hz: int
) -> Float32[ndarray, " samples"]:
    """Let a pseudo-speaker say a text.

    The synthesiser speaks slower by the rate at which the sound is then played, so that the pace
    is the voice's own.
    """
    audio = teacher.speak(text, pace=voice.pace / voice.pitch, seed=seed)
    audio = change_rate(audio, voice.pitch, teacher.sample_rate_hz, sample_rate_hz)
    audio = warp_formants(audio, voice.formants, sample_rate_hz)
    return equalize(audio, voice.equalizer, sample_rate_hz)


def seed_of(name: str) -> int:
    """A 32-bit number from a name, the same in every process (unlike `hash`)."""
    return int.from_bytes(hashlib.sha1(name.encode()).digest()[:4], "big")
