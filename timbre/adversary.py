"""An adversary: discriminators and the two losses around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losses.adversarial import Judgement, discriminator_loss, generator_loss, r1_penalty
from losses.feature_matching import feature_matching_loss
from timbre.objective import AdversaryConfig


class Adversary(nn.Module):
    """Discriminators behind two methods; the training loop decides only their order.

    Args:
        discriminators: Module that maps a batch of real or generated inputs (mel segments
            `[batch, mels, frames]` or waveforms `[batch, samples]`) to a list of judgements.
        config: Kind of loss, freeze and R1.
    """

    def __init__(self, discriminators: nn.Module, config: AdversaryConfig) -> None:
        super().__init__()
        self.discriminators = discriminators
        self.config = config

    def is_active(self, update: int) -> bool:
        """Whether the discriminators learn and teach at this update."""
        return update >= self.config.freeze_steps

    def discriminator_loss(self, real: Tensor, fake: Tensor, update: int) -> dict[str, Tensor]:
        """Terms that train the discriminators: `disc`, and lazily `r1`.

        `r1` is reported without, and added with, `r1_weight * r1_interval` (see `total`). It runs
        in fp32: it is a second derivative, and bf16 rounds it away.
        """
        terms = {
            "disc": discriminator_loss(
                self._judge(real.detach()), self._judge(fake.detach()), self.config.kind
            )
        }
        if self.config.r1_weight > 0 and update % self.config.r1_interval == 0:
            with torch.autocast(real.device.type, enabled=False):
                inputs = real.detach().float().requires_grad_()
                terms["r1"] = r1_penalty(self._judge(inputs), inputs)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The discriminators' loss from the terms of `discriminator_loss`."""
        if "r1" not in terms:
            return terms["disc"]
        return terms["disc"] + self.config.r1_weight * self.config.r1_interval * terms["r1"]

    def generator_loss(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's adversarial and feature-matching loss.

        The discriminators' parameters take no gradient here: without that, the generator's loss
        reached them in 10 of 10 updates.
        """
        with frozen(self.discriminators):
            with torch.no_grad():
                real_judgements = self._judge(real.detach())
            fake_judgements = self._judge(fake)
            return (
                generator_loss(fake_judgements, self.config.kind),
                feature_matching_loss(real_judgements, fake_judgements, relative=True),
            )

    def _judge(self, inputs: Tensor) -> list[Judgement]:
        judgements: list[Judgement] = self.discriminators(inputs)
        return judgements


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradient reaches the module's parameters inside; gradients still pass through it."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
