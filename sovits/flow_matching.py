"""Flow-matching decoder: regression trunk plus a generative model of what the trunk leaves out."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from losses.flow_matching import flow_matching_loss, flow_path
from sovits.decoder import DecoderConfig
from sovits.residual_decoder import ResidualDecoder
from sovits.residual_network import ResidualNetwork, spread_times


class FlowMatchingDecoder(ResidualDecoder):
    """Regression trunk, then conditional flow matching on its residual r (arXiv 2210.02747).

    With noise e ~ N(0, training_noise²) and time t ~ U(0, 1), x_t = (1 - t) e + t r is the straight
    path from noise to data, and the network v is trained by E|v(x_t, t) - (r - e)|² (eq. 23 with
    sigma_min = 0). Sampling integrates dx/dt = v by Euler steps from noise of `sampling_noise`.
    Unlike the paper's, our data are a residual, noise in sampling is smaller than in training, and
    v is preconditioned (`velocity`).
    """

    term = "flow"

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.field = ResidualNetwork(config)

    @property
    def network(self) -> ResidualNetwork:
        """What the velocity is made of."""
        return self.field

    def velocity(
        self,
        x: Float[Tensor, "batch frames mels"],
        time: Float[Tensor, " batch"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> Float[Tensor, "batch frames mels"]:
        """Return v = a x + n s F(s x): the network F sees and gives unit variance at every time.

        With data of unit variance and noise of variance n², x_t has the variance
        1/s² = t² + n² (1 - t)², a = (t - n² (1 - t)) s² is the best linear guess of v from x, and
        what that leaves has the variance n² s²: the preconditioning of arXiv 2206.00364 (section
        5) on a straight path. Without it the network must carry all of the noise to its output,
        through its norms: its samples were further from held-out speech than the trunk.
        """
        noise, t = self.config.training_noise, time[:, None, None]
        variance = t**2 + noise**2 * (1 - t) ** 2
        scale = variance.rsqrt()
        correction = self.field(scale * x, time, known, z_spk, mask)
        return (t - noise**2 * (1 - t)) / variance * x + noise * scale * correction

    def residual_loss(
        self,
        residual: Float[Tensor, "batch frames mels"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "batch frames mels"]]:
        """Return the loss, and the error of the residual that the flow would end at.

        x_t + (1 - t) v = r + (1 - t) (v - (r - e)); the error is weighted by t, the share of the
        residual in x_t.
        """
        time = spread_times(residual)
        noise = self.config.training_noise * torch.randn_like(residual)
        path = flow_path(noise, residual, time, min_std=0.0)
        predicted = self.velocity(path.point, time, known, z_spk, mask)
        loss = flow_matching_loss(predicted, path.velocity, mask.unsqueeze(-1))
        weight = (time * (1 - time))[:, None, None]
        return loss, weight * (predicted - path.velocity)

    def draw(
        self,
        noise: Float[Tensor, "batch frames mels"],
        known: Float[Tensor, "batch frames channels"],
        z_spk: Float[Tensor, "batch speaker"],
        mask: Bool[Tensor, "batch frames"],
    ) -> Float[Tensor, "batch frames mels"]:
        """Follow the velocity from the noise to a residual."""
        x, steps = noise, self.config.steps
        for step in range(steps):
            time = x.new_full((x.shape[0],), step / steps)
            x = x + self.velocity(x, time, known, z_spk, mask) / steps
        return x
