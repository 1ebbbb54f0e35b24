"""What every vocoder generator offers, so that the others are a configuration choice."""

from abc import ABC, abstractmethod
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils import parametrize

from data.mel import AudioConfig


class Vocoder(nn.Module, ABC):
    """Mel spectrogram to waveform.

    Args:
        audio: geometry and normalisation of the mel.
    """

    def __init__(self, audio: AudioConfig) -> None:
        super().__init__()
        self.audio = audio

    @abstractmethod
    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"] | None = None,
        generator: torch.Generator | None = None,
        mel_lengths: Int[Tensor, " batch"] | None = None,
        start_phase: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Return fp32 audio of `frames * hop` samples.

        Args:
            mel: natural-log mel.
            f0: pitch in Hz, 0 = unvoiced; None: predicted where the variant needs it.
            generator: source of randomness where the variant has any; None: torch's global one.
            mel_lengths: frames of each item, so that padding changes nothing: audio beyond
                `mel_lengths * hop` is zero. None: all items fill the batch, as crops do.
            start_phase: where the variant makes pulses, their phase before the first sample, in
                cycles: what came before, if the mel is a window of a longer one. None: a random
                one in training, 0 in evaluation.
        """

    @abstractmethod
    def auxiliary_losses(
        self,
        mel: Float[Tensor, "batch mels frames"],
        f0: Float[Tensor, "batch frames"],
        mel_lengths: Int[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the losses of the variant's own helper networks by name; {} where it has none."""

    def fold_weight_norm(self) -> None:
        """Replace every parametrized weight by its value, in place, for inference.

        Faster (nothing is normalised per call), with the same output; training cannot go on after.
        """
        for module in self.modules():
            if parametrize.is_parametrized(module):
                parametrizations = cast(nn.ModuleDict, module.parametrizations)
                for name in list(parametrizations):
                    parametrize.remove_parametrizations(module, name)
