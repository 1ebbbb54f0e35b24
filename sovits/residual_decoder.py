"""What the generative decoders share: a regression trunk, and a model of what it leaves out."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data.mel import FRAMES_PER_TOKEN
from sovits.decoder import Decoded, DecoderConfig, MelDecoder
from sovits.regression import Trunk, frame_mask, pitch_loss, target_mask
from sovits.residual_network import ResidualNetwork, start_noise


class ResidualDecoder(MelDecoder):
    """Regression trunk, and a network that draws r = (mel - trunk mel) / residual_scale.

    The trunk mel is detached in r and as a condition: the trunk stays a regression, judged by the
    objective's reconstruction term alone. Gradients do reach z_spk, z_sem and the trunk's hidden
    states, since texture is part of the voice.
    """

    term: ClassVar[str]
    """Name of the network's loss."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.trunk = Trunk(config)

    @property
    @abstractmethod
    def network(self) -> ResidualNetwork:
        """The network that sees noisy residuals."""

    @abstractmethod
    def residual_loss(
        self,
        residual: Float[Tensor, "batch frames mels"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "batch frames mels"]]:
        """Return the loss, and the error of the residual that is recovered from a noisy one."""

    @abstractmethod
    def draw(
        self,
        noise: Float[Tensor, "batch frames mels"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> Float[Tensor, "batch frames mels"]:
        """Return the residual that the start noise becomes."""

    def forward(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        target: Float[Tensor, "batch mels 4*tokens"] | None = None,
        target_lengths: Int[Tensor, " batch"] | None = None,
        target_f0: Float[Tensor, "batch 4*tokens"] | None = None,
    ) -> Decoded:
        """Return the trunk's mel and, with a target, `term` (per mel bin, unitless) and `pitch`.

        Raises:
            ValueError: a target without its lengths and pitch.
        """
        outputs = self.trunk(z_sem, token_lengths, z_spk, target_f0)
        present = frame_mask(token_lengths, z_sem.shape[1])
        decoded = self.finish(outputs.mel, present)
        if target is None:
            return Decoded(decoded)
        valid, f0 = target_mask(target_lengths, target_f0)
        truth, trunk_mel = self.normalise(target), outputs.mel.detach().float()
        residual = (truth - trunk_mel) / self.config.residual_scale
        known = self.network.known(z_sem, outputs.hidden, trunk_mel)
        loss, error = self.residual_loss(residual, known, z_spk, valid)
        recovered = self.finish(truth + self.config.residual_scale * error, present)
        terms = {self.term: loss, "pitch": pitch_loss(outputs, f0, valid)}
        return Decoded(decoded, terms, recovered)

    @torch.no_grad()
    def sample(
        self,
        z_sem: Float[Tensor, "batch tokens width"],
        token_lengths: Int[Tensor, " batch"],
        z_spk: Float[Tensor, "batch speaker"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch mels 4*tokens"]:
        """Draw a mel, not below the log floor; the generator gives the start noise."""
        config = self.config
        outputs = self.trunk(z_sem, token_lengths, z_spk)
        mask = frame_mask(token_lengths, z_sem.shape[1])
        known = self.network.known(z_sem, outputs.hidden, outputs.mel)
        noise = config.sampling_noise * start_noise(
            FRAMES_PER_TOKEN * token_lengths, mask.shape[1], config.mel_channels, generator
        )
        residual = self.draw(noise, known, z_spk, mask)
        mel = self.finish(outputs.mel.float() + config.residual_scale * residual, mask)
        return mel.clamp(min=config.log_floor)
