"""Denoising diffusion: noise schedule, noise-prediction loss, Min-SNR weighting."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from losses.reduction import at_least_float32, masked_mean, zero_padding
from losses.regression import RegressionParameters, regression_error

BETA_KINDS = ("cosine", "linear")
NOISE_KINDS = ("mse", "mae", "huber")


class NoiseSchedule(nn.Module):
    """How much signal is left after each diffusion step.

    x_t = sqrt(A_t) x_0 + sqrt(1 - A_t) e, e ~ N(0, I), A_t = prod_(s <= t) (1 - beta_s);
    Ho et al., arXiv 2006.11239, eq. 4. Kinds: `cosine`, A_t = f(t) / f(0) with
    f(t) = cos^2(((t / T + 0.008) / 1.008) pi / 2) and beta at most 0.999 (Nichol & Dhariwal,
    arXiv 2102.09672, eq. 17), which wastes fewer steps on pure noise; `linear`, beta from 1e-4 to
    0.02 (arXiv 2006.11239, section 4), scaled by 1000 / T so that T steps end at the same noise.

    Steps are 0 (nearly clean) to T - 1 (nearly noise). The table is a buffer and is not saved.
    """

    signal: Tensor

    def __init__(self, steps: int = 1000, kind: str = "cosine") -> None:
        """Build the table of A_t.

        Args:
            steps: T, at least 2.
            kind: One of `BETA_KINDS`.

        Raises:
            ValueError: Unknown kind or too few steps.
        """
        super().__init__()
        if steps < 2:
            raise ValueError(f"steps is {steps}: give at least 2")
        self.steps = steps
        self.register_buffer("signal", _signal(steps, kind), persistent=False)

    def diffuse(
        self,
        clean: Float[Tensor, " batch *shape"],
        noise: Float[Tensor, " batch *shape"],
        step: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """Return x_t = sqrt(A_t) x_0 + sqrt(1 - A_t) e, in fp32."""
        clean, noise = at_least_float32(clean), at_least_float32(noise)
        signal = _per_item(self.signal[step], clean)
        return signal.sqrt() * clean + (1 - signal).sqrt() * noise

    def estimate_clean(
        self,
        noisy: Float[Tensor, " batch *shape"],
        predicted_noise: Float[Tensor, " batch *shape"],
        step: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch *shape"]:
        """Return x_0 = (x_t - sqrt(1 - A_t) e) / sqrt(A_t), in fp32; arXiv 2006.11239, eq. 15.

        What a perceptual term looks at. At late steps the division magnifies the error of e by up
        to 1 / sqrt(A_T): weight such a term by A_t or restrict it to early steps.
        """
        noisy, predicted_noise = at_least_float32(noisy), at_least_float32(predicted_noise)
        signal = _per_item(self.signal[step], noisy)
        return (noisy - (1 - signal).sqrt() * predicted_noise) / signal.sqrt()

    def signal_to_noise(self, step: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Return SNR = A_t / (1 - A_t)."""
        signal = self.signal[step]
        return signal / (1 - signal)


def min_snr_weight(
    signal_to_noise: Float[Tensor, " batch"], gamma: float = 5.0
) -> Float[Tensor, " batch"]:
    """Return min(SNR, gamma) / SNR, the Min-SNR weight of a noise-prediction loss.

    Hang et al., arXiv 2303.09556, section 3.4: noise prediction weighs step t by SNR(t) in terms of
    x_0, and this caps that at gamma = 5, so that the easy, almost clean steps do not dominate.
    About three times faster to the same quality in the paper.
    """
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma}: give a number above 0")
    return gamma / signal_to_noise.clamp(min=gamma)


def noise_prediction_loss(
    predicted_noise: Float[Tensor, " batch *shape"],
    noise: Float[Tensor, " batch *shape"],
    mask: Tensor | None = None,
    weights: Float[Tensor, " batch"] | None = None,
    kind: str = "mse",
    parameters: RegressionParameters | None = None,
) -> Float[Tensor, ""]:
    """Return mean over valid positions of w_t error(e, e_predicted).

    Ho et al., arXiv 2006.11239, eq. 14 (w = 1, `mse`); `mae` as in WaveGrad, arXiv 2009.00713,
    section 2.2, less sensitive to outlying steps; `huber` between them.

    Args:
        predicted_noise: Output of the network.
        noise: The noise that was mixed in.
        mask: Bool, as many axes as the noise, sizes equal or 1.
        weights: w of each item's step, from `min_snr_weight`; None: 1.
        kind: One of `NOISE_KINDS`.
        parameters: The Huber threshold; None: the default.

    Raises:
        ValueError: Unknown kind.
    """
    if kind not in NOISE_KINDS:
        raise ValueError(f"unknown noise-prediction kind {kind!r}: use one of {NOISE_KINDS}")
    error = regression_error(
        zero_padding(at_least_float32(predicted_noise), mask),
        zero_padding(at_least_float32(noise), mask),
        kind,
        parameters or RegressionParameters(),
    )
    if weights is not None:
        error = error * _per_item(weights, error)
    return masked_mean(error, mask)


def _signal(steps: int, kind: str) -> Tensor:
    if kind == "cosine":
        time = torch.arange(steps + 1, dtype=torch.float64) / steps
        curve = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - curve[1:] / curve[:-1]).clamp(max=0.999)
    elif kind == "linear":
        scale = 1000 / steps
        betas = torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64)
        betas = betas.clamp(max=0.999)
    else:
        raise ValueError(f"unknown noise schedule {kind!r}: use one of {BETA_KINDS}")
    return (1 - betas).cumprod(dim=0).float()


def _per_item(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
