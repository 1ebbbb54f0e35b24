"""How often discriminators are right: an instrument, not a loss."""

import torch
from jaxtyping import Float
from torch import Tensor

from losses.adversarial import Judgement
from losses.reduction import masked_mean


def discriminator_accuracies(
    real: list[Judgement], fake: list[Judgement], kind: str = "lsgan"
) -> list[Float[Tensor, ""]]:
    """Return, per sub-discriminator, the share of positions that it tells right.

    Real and generated inputs weigh the same. The border lies where the loss of that kind has it:
    0.5 for lsgan, 0 for hinge and bce; a Wasserstein critic has none, so the middle between its
    mean scores is taken.

    0.5 is guessing. Healthy speech GANs are near 1 for multi-scale and above 0.7 for multi-period
    discriminators (PhaseAug, arXiv 2211.04610), so this is an alarm, not a target.

    Args:
        real: One judgement of the real inputs per sub-discriminator.
        fake: The same for generated inputs.
        kind: Kind of the adversarial loss, one of `losses.adversarial.ADVERSARIAL_KINDS`.
    """
    shares = []
    for r, f in zip(real, fake, strict=True):
        border = _border(r, f, kind)
        right_real = masked_mean((r.scores.detach().float() > border).float(), r.mask)
        right_fake = masked_mean((f.scores.detach().float() <= border).float(), f.mask)
        shares.append((right_real + right_fake) / 2)
    return shares


def _border(real: Judgement, fake: Judgement, kind: str) -> Tensor:
    if kind != "wasserstein":
        return real.scores.new_tensor(0.5 if kind == "lsgan" else 0.0, dtype=torch.float32)
    means = [masked_mean(each.scores.detach().float(), each.mask) for each in (real, fake)]
    return torch.stack(means).mean()
