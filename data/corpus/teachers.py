"""The speech synthesisers that speak the base corpus's English."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float32
from numpy import ndarray

from data.errors import InputError


@runtime_checkable
class Teacher(Protocol):
    """One voice of a speech synthesiser."""

    sample_rate_hz: int
    """Sample rate of what it speaks."""
    licence: str
    """Licence of the voice."""

    def speak(self, text: str, pace: float, seed: int) -> Float32[ndarray, " samples"]:
        """Speak a text.

        Args:
            text: English, plain letters and punctuation.
            pace: speed relative to the voice's own.
            seed: fixes the random parts, where the synthesiser lets us.
        """
        ...


def _hibari(base: str) -> Teacher:
    from data.corpus.hibari_teacher import HibariTeacher

    return HibariTeacher(base)


def _piper(base: str) -> Teacher:
    from data.corpus.piper_teacher import PiperTeacher

    return PiperTeacher(base)


def _flite(base: str) -> Teacher:
    from data.corpus.flite_teacher import FliteTeacher

    return FliteTeacher(base)


def _kokoro(base: str) -> Teacher:
    from data.corpus.kokoro_teacher import KokoroTeacher

    return KokoroTeacher(base)


# Each is imported when it is asked for: the packages are an optional extra.
TEACHERS: Mapping[str, Callable[[str], Teacher]] = {
    "hibari": _hibari,
    "piper": _piper,
    "flite": _flite,
    "kokoro": _kokoro,
}


def load_teacher(
    name: str, base: str, teachers: Mapping[str, Callable[[str], Teacher]] = TEACHERS
) -> Teacher:
    """Load a voice of a synthesiser.

    Args:
        name: synthesiser.
        base: its voice.
        teachers: the known synthesisers.

    Raises:
        InputError: the synthesiser is unknown or not installed.
    """
    if name not in teachers:
        raise InputError(f"unknown teacher {name!r}; known are {', '.join(sorted(teachers))}")
    try:
        return teachers[name](base)
    except ModuleNotFoundError as error:
        raise InputError(
            f"teacher {name} needs the package {error.name}; install the extra `corpus`: "
            "pip install -e '.[corpus]'"
        ) from error
