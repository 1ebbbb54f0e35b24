"""Voice vectors by a SoVITS speaker encoder (z_spk): always there, no judge of its own model."""

from __future__ import annotations

import torch
from jaxtyping import Float
from numpy import ndarray

from data.mel import AudioConfig, LogMel
from sovits.speaker_encoder import SpeakerEncoder
from timbre.judges.clip import Clip


class VoiceVector:
    """z_spk at the posterior mean.

    Vectors of different encoders do not compare, and an encoder flatters the decoder that learned
    with it: give one that is not trained any more.

    Args:
        encoder: In evaluation mode.
        audio: Geometry of the mel.
    """

    def __init__(self, encoder: SpeakerEncoder, audio: AudioConfig) -> None:
        self._encoder = encoder
        self._audio = audio
        self._log_mel = LogMel(audio)

    @torch.inference_mode()
    def __call__(self, clip: Clip) -> Float[ndarray, " channels"]:
        """The voice of a clip."""
        device = next(self._encoder.parameters()).device
        audio = torch.from_numpy(clip.at(self._audio.sample_rate_hz))[None]
        mel = self._log_mel(audio).to(device)
        lengths = torch.tensor([mel.shape[2]], device=device)
        vector: ndarray = self._encoder(mel, lengths).z_spk[0].float().cpu().numpy()
        return vector
