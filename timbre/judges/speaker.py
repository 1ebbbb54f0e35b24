"""Voice vectors by Resemblyzer, a speaker verifier that no voice here was trained with."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from timbre.judges.clip import Clip
from timbre.judges.optional import import_optional

INSTALL = "pip install --no-deps resemblyzer webrtcvad-wheels 'setuptools<81'"
_SAMPLE_RATE_HZ = 16000
_SHORTEST_SAMPLES = 4800  # its voice activity detector may leave less: too little to know a voice


class Resemblyzer:
    """Embeds clips with Resemblyzer (GE2E, arXiv 1710.10467; weights in its package).

    Raises:
        NotAvailableError: It is not installed.
    """

    def __init__(self) -> None:
        self._package = import_optional("resemblyzer", INSTALL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._encoder = self._package.VoiceEncoder("cpu", verbose=False)

    def __call__(self, clip: Clip) -> Float[ndarray, " channels"]:
        """The voice of a clip."""
        audio = np.clip(clip.at(_SAMPLE_RATE_HZ), -1.0, 1.0)
        speech = self._package.preprocess_wav(audio) if audio.any() else audio
        heard = speech if len(speech) >= _SHORTEST_SAMPLES else audio
        vector: ndarray = self._encoder.embed_utterance(heard)
        return vector
