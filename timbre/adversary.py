"""An adversary: discriminators and the two losses around them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from losses.accuracy import discriminator_accuracies
from losses.adversarial import (
    Judgement,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from losses.feature_matching import feature_matching_loss
from timbre.adversary_config import AdversaryConfig, Gate

_LOG = logging.getLogger(__name__)


class Adversary(nn.Module):
    """Discriminators behind two methods; the training loop decides only their order.

    Args:
        discriminators: Module that maps a batch of real or generated inputs (mel segments
            `[batch, mels, frames]` or waveforms `[batch, samples]`) to a list of judgements.
        config: Kind of loss, when they learn and teach, R1.
    """

    def __init__(self, discriminators: nn.Module, config: AdversaryConfig) -> None:
        super().__init__()
        self.discriminators = discriminators
        self.config = config
        self.gate = Gate(config)

    def is_active(self, update: int) -> bool:
        """Whether the discriminators teach at this update."""
        return update >= self.config.freeze_steps

    def learns(self, update: int) -> bool:
        """Whether the discriminators learn at this update: neither frozen, paused nor gated."""
        paused = self.config.pauses(update) or self.gate.is_closed
        return self.is_active(update) and not paused

    def discriminator_loss(self, real: Tensor, fake: Tensor, update: int) -> dict[str, Tensor]:
        """Terms that train the discriminators: `disc`, lazily `r1`, and `gradient_penalty`.

        Beside them, `accuracy/N`: the share that the N-th sub-discriminator tells right.

        `r1` is reported without, and added with, `r1_weight * r1_interval` (see `total`). R1 and
        the gradient penalty of the kind wasserstein run in fp32: they are second derivatives, and
        bf16 rounds them away.
        """
        real, fake = real.detach(), fake.detach()
        on_real, on_fake = self._judge(real), self._judge(fake)
        terms = {"disc": discriminator_loss(on_real, on_fake, self.config.kind)}
        accuracies = discriminator_accuracies(on_real, on_fake, self.config.kind)
        terms |= {f"accuracy/{number}": each for number, each in enumerate(accuracies)}
        if not torch.is_grad_enabled():
            return terms
        with torch.autocast(real.device.type, enabled=False):
            if self.config.r1_weight > 0 and update % self.config.r1_interval == 0:
                inputs = real.float().requires_grad_()
                terms["r1"] = r1_penalty(self._judge(inputs), inputs)
            if self.config.kind == "wasserstein":
                terms["gradient_penalty"] = gradient_penalty(self._judge, real, fake)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The discriminators' loss from the terms of `discriminator_loss`."""
        total = terms["disc"]
        if "r1" in terms:
            total = total + self.config.r1_weight * self.config.r1_interval * terms["r1"]
        if "gradient_penalty" in terms:
            total = total + self.config.gradient_penalty_weight * terms["gradient_penalty"]
        return total

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

    def feature_distance(self, real: Tensor, fake: Tensor) -> Tensor:
        """How different the discriminators find two inputs: a perceptual distance."""
        with frozen(self.discriminators):
            with torch.no_grad():
                judged = self._judge(real.detach())
            return feature_matching_loss(judged, self._judge(fake), relative=True)

    def _judge(self, inputs: Tensor) -> list[Judgement]:
        judgements: list[Judgement] = self.discriminators(inputs)
        return judgements


def discriminator_weights(module: nn.Module) -> dict[str, Tensor]:
    """The weights of the discriminators of a module's adversaries, by name."""
    return {
        f"{name}.discriminators.{key}": tensor
        for name, adversary in module.named_children()
        if isinstance(adversary, Adversary)
        for key, tensor in adversary.discriminators.state_dict().items()
    }


def take_discriminators(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies saved weights to a module's adversaries; those that they do not fit stay fresh."""
    for name, adversary in module.named_children():
        if not isinstance(adversary, Adversary):
            continue
        prefix = f"{name}.discriminators."
        saved = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
        own = adversary.discriminators.state_dict()
        if {n: t.shape for n, t in saved.items()} == {n: t.shape for n, t in own.items()}:
            adversary.discriminators.load_state_dict(saved)
        elif saved:
            _LOG.info("the saved discriminators of the %s are of other sizes: fresh ones", name)


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
