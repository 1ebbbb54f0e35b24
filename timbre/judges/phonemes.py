"""Phoneme errors by the tokenizer's own CTC head: the judge that is always there."""

from __future__ import annotations

import math

import torch

from data.mel import AudioConfig, LogMel
from data.text.symbols import SILENCE_ID
from gpt.judge import ctc_greedy, phoneme_error_rate
from gpt.tokenizer import SemanticTokenizer
from timbre.judges.clip import Clip, Measure


class PhonemeErrors:
    """Reads the phonemes of a clip off the tokenizer's CTC head and counts the wrong ones.

    Its errors on human recordings are its own: read a synthetic voice's beside them.

    Args:
        tokenizer: In evaluation mode; should not be one that learns from the judged speech.
        audio: Geometry of the mel.
    """

    def __init__(self, tokenizer: SemanticTokenizer, audio: AudioConfig) -> None:
        self._tokenizer = tokenizer
        self._audio = audio
        self._log_mel = LogMel(audio)

    @torch.inference_mode()
    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """`phoneme_error`, weighted by the number of phonemes."""
        rates, counts = [], []
        for clip in clips:
            expected = [] if clip.phonemes is None else clip.phonemes.ids.tolist()
            count = sum(symbol != SILENCE_ID for symbol in expected)
            rates.append(phoneme_error_rate(self._heard(clip), expected) if count else math.nan)
            counts.append(float(count))
        return {"phoneme_error": Measure(rates, counts)}

    def _heard(self, clip: Clip) -> list[int]:
        device = next(self._tokenizer.parameters()).device
        audio = torch.from_numpy(clip.at(self._audio.sample_rate_hz))[None]
        mel = self._log_mel(audio).to(device)
        lengths = torch.tensor([mel.shape[2]], device=device)
        _, _, logits, ctc_lengths = self._tokenizer.encode(mel, lengths)
        return ctc_greedy(logits, ctc_lengths)[0]
