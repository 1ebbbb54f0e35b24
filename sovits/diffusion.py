"""Diffusion decoder: regression trunk plus a denoising model of what the trunk leaves out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from losses.diffusion import NoiseSchedule, min_snr_weight, noise_prediction_loss
from losses.regression import RegressionParameters
from sovits.decoder import DecoderConfig
from sovits.residual_decoder import ResidualDecoder
from sovits.residual_network import ResidualNetwork, spread_times


class DiffusionDecoder(ResidualDecoder):
    """Regression trunk, then denoising diffusion on its residual r (arXiv 2006.11239).

    With noise e ~ N(0, I), the network predicts e from x_t = sqrt(A_t) r + sqrt(1 - A_t) e at a
    random level t (eq. 14), errors weighted by Min-SNR (arXiv 2303.09556). Sampling walks down the
    levels by DDIM without added noise (arXiv 2010.02502, eq. 12 with sigma 0) in `steps` equal
    steps. Unlike the papers', our data are a residual, sampling begins where some signal is left,
    and its noise may be smaller than in training.
    """

    term = "diffusion"

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.denoiser = ResidualNetwork(config)
        self.schedule = NoiseSchedule(config.diffusion.levels, config.diffusion.schedule)

    @property
    def network(self) -> ResidualNetwork:
        """The denoiser."""
        return self.denoiser

    def residual_loss(
        self,
        residual: Float[Tensor, "batch frames mels"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "batch frames mels"]]:
        """Return the loss, and the error of the residual that is recovered from x_t.

        The recovered residual is off by sqrt((1 - A_t) / A_t) (e - e_predicted); the error is
        weighted by A_t, the share of signal in x_t.
        """
        config = self.config.diffusion
        level = (spread_times(residual) * config.levels).long()
        noise = torch.randn_like(residual)
        noisy = self.schedule.diffuse(residual, noise, level)
        predicted = self.denoiser(noisy, self._time(level), known, z_spk, mask)
        weights = None
        if config.min_snr_gamma > 0:
            weights = min_snr_weight(self.schedule.signal_to_noise(level), config.min_snr_gamma)
        loss = noise_prediction_loss(
            predicted,
            noise,
            mask.unsqueeze(-1),
            weights,
            config.loss,
            RegressionParameters(huber_delta=config.huber_delta),
        )
        signal = self.schedule.signal[level][:, None, None]
        return loss, (signal * (1 - signal)).sqrt() * (noise - predicted)

    def draw(
        self,
        noise: Float[Tensor, "batch frames mels"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> Float[Tensor, "batch frames mels"]:
        """Take the noise out step by step; what is left is the residual."""
        limit = self.config.diffusion.limit
        x = residual = noise
        levels = self._sampling_levels()
        for level, following in zip(levels, [*levels[1:], None], strict=True):
            at = torch.full((x.shape[0],), level, device=x.device)
            predicted = self.denoiser(x, self._time(at), known, z_spk, mask)
            residual = self.schedule.estimate_clean(x, predicted, at).clamp(-limit, limit)
            if following is not None:
                # The noise that belongs to the clamped residual, so that x stays on the path.
                signal = self.schedule.signal[level]
                rest = (x - signal.sqrt() * residual) / (1 - signal).sqrt()
                x = self.schedule.diffuse(residual, rest, torch.full_like(at, following))
        return residual

    def _time(self, level: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        return level / self.config.diffusion.levels

    def _sampling_levels(self) -> list[int]:
        """Levels of the steps, from the first with enough signal down, evenly; the last is clean's.

        After the step at the last of them x would be the residual itself.
        """
        start = int((self.schedule.signal >= self.config.diffusion.start_signal).sum()) - 1
        steps = self.config.steps
        return [max(start, 0) * (steps - step) // steps for step in range(steps)]
