"""Adversarial losses for the discriminators and the generator, and their gradient penalties."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from losses.reduction import at_least_float32, broadcast_mask, masked_mean, zero_padding

ADVERSARIAL_KINDS = ("lsgan", "hinge", "bce", "wasserstein")


@dataclass
class Judgement:
    """What one sub-discriminator says about a batch.

    Raises:
        ValueError: `feature_masks` is given but does not have one entry per feature map.
    """

    scores: Float[Tensor, "batch positions"]
    """Unbounded score per position: high means real. No sigmoid inside."""
    features: list[Tensor] = field(default_factory=list)
    """Activations of the hidden layers, for feature matching; any shape beginning with batch."""
    mask: Bool[Tensor, "batch positions"] | None = None
    """True at the scores that stand on data; None: all of them."""
    feature_masks: list[Tensor | None] = field(default_factory=list)
    """Per feature map, a bool mask of as many axes as the map (sizes equal or 1), or None.

    Left empty, it becomes one None per feature map.
    """

    def __post_init__(self) -> None:
        if not self.feature_masks:
            self.feature_masks = [None] * len(self.features)
        if len(self.feature_masks) != len(self.features):
            raise ValueError(
                f"{len(self.feature_masks)} feature masks for {len(self.features)} feature maps: "
                "give one mask (or None) per map"
            )


def discriminator_loss(
    real: list[Judgement], fake: list[Judgement], kind: str = "lsgan"
) -> Float[Tensor, ""]:
    """Return the loss that teaches discriminators to tell real from generated inputs.

    With r = D(x), f = D(G(z)), E the mean over valid positions:

    - lsgan: E[(r - 1)^2] + E[f^2]; Mao et al., arXiv 1611.04076, eq. 2 (a = 0, b = 1).
      The default: bounded targets, no saturation. Undecided (0.5 everywhere) it is 0.5.
    - hinge: E[max(0, 1 - r)] + E[max(0, 1 + f)]; Lim & Ye, arXiv 1705.02894. Stops pushing what is
      already told apart. Undecided it is 2.
    - bce: E[softplus(-r)] + E[softplus(f)]; Goodfellow et al., arXiv 1406.2661, eq. 1, on logits.
      Undecided it is 2 ln 2 = 1.386.
    - wasserstein: E[f] - E[r]; Arjovsky et al., arXiv 1701.07875, eq. 3. Only together with
      `gradient_penalty`. Undecided it is 0.

    The papers judge whole images; here D has many positions and several sub-discriminators, which
    are averaged (HiFi-GAN sums them), so that the value does not depend on how many there are.

    Args:
        real: One judgement of the real inputs per sub-discriminator.
        fake: The same for generated inputs, which the caller has detached from the generator.
        kind: One of `ADVERSARIAL_KINDS`.

    Raises:
        ValueError: Unknown kind, no judgement, or different numbers of judgements.
    """
    if len(real) != len(fake):
        raise ValueError(f"{len(real)} real judgements but {len(fake)} fake ones: give pairs")
    _check(fake, kind)
    terms = [
        masked_mean(_real_penalty(_scores(r), kind), r.mask)
        + masked_mean(_fake_penalty(_scores(f), kind), f.mask)
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_loss(fake: list[Judgement], kind: str = "lsgan") -> Float[Tensor, ""]:
    """Return the loss that teaches the generator to be judged real.

    With f = D(G(z)): lsgan E[(f - 1)^2] (arXiv 1611.04076, eq. 2, c = 1); hinge and wasserstein
    -E[f] (arXiv 1705.02894, 1701.07875); bce E[softplus(-f)], the non-saturating form of
    arXiv 1406.2661, section 3. Averaged over sub-discriminators like `discriminator_loss`.

    Args:
        fake: One judgement of the generated inputs per sub-discriminator, not detached.
        kind: One of `ADVERSARIAL_KINDS`; the same as the discriminators'.

    Raises:
        ValueError: Unknown kind or no judgement.
    """
    _check(fake, kind)
    terms = []
    for judgement in fake:
        scores = _scores(judgement)
        # Hinge pushes the generator without a margin: a saturated generator term has no gradient.
        penalty = -scores if kind == "hinge" else _real_penalty(scores, kind)
        terms.append(masked_mean(penalty, judgement.mask))
    return torch.stack(terms).mean()


def gradient_penalty(
    discriminate: Callable[[Tensor], list[Judgement]],
    real: Float[Tensor, " batch *shape"],
    fake: Float[Tensor, " batch *shape"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Return the WGAN-GP penalty E[(||grad_x D(x)||_2 - 1)^2] between real and generated inputs.

    x = u * real + (1 - u) * fake, u ~ U(0, 1) per item; Gulrajani et al., arXiv 1704.00028, eq. 3
    (without the factor lambda = 10, which is the caller's weight). D(x) is the mean over
    sub-discriminators of the mean over valid positions. Use it with kind `wasserstein`, at every
    update.

    Args:
        discriminate: Maps inputs to judgements. Run it in fp32 (autocast off): second derivatives
            of bf16 products are too coarse.
        real: Real inputs.
        fake: Generated inputs.
        generator: Source of u, on the device of the inputs; None: torch's global one.
    """
    real, fake = at_least_float32(real).detach(), at_least_float32(fake).detach()
    shape = (real.shape[0],) + (1,) * (real.ndim - 1)
    blend = torch.rand(shape, generator=generator, device=real.device, dtype=real.dtype)
    inputs = (blend * real + (1 - blend) * fake).requires_grad_()
    norms = _squared_gradient_norms(discriminate(inputs), inputs).clamp(min=1e-24).sqrt()
    return (norms - 1).square().mean()


def r1_penalty(
    judgements: list[Judgement], inputs: Float[Tensor, " batch *shape"]
) -> Float[Tensor, ""]:
    """Return E[||grad_x D(x)||_2^2] on real inputs, the R1 penalty.

    Mescheder et al., arXiv 1801.04406, eq. 9, without the factor gamma / 2, which is the caller's
    weight. D(x) is the mean over sub-discriminators of the mean over valid positions of each item;
    the gradient therefore shrinks as inputs grow longer, and a weight belongs to a segment length.
    Use it lazily (every 16 updates, weight times 16, arXiv 1912.04958, section 3.1) against a
    discriminator that dominates.

    Args:
        judgements: Judgements of `inputs`, computed in fp32 (autocast off).
        inputs: Real inputs with `requires_grad`, from which the judgements were computed.

    Raises:
        ValueError: `inputs` does not require a gradient.
    """
    if not inputs.requires_grad:
        raise ValueError("R1 needs inputs.requires_grad_() before they are judged")
    return _squared_gradient_norms(judgements, inputs).mean()


def _check(judgements: list[Judgement], kind: str) -> None:
    if kind not in ADVERSARIAL_KINDS:
        raise ValueError(f"unknown adversarial kind {kind!r}: use one of {ADVERSARIAL_KINDS}")
    if not judgements:
        raise ValueError("no judgement: give one per sub-discriminator")


def _scores(judgement: Judgement) -> Tensor:
    return zero_padding(at_least_float32(judgement.scores), judgement.mask)


def _real_penalty(scores: Tensor, kind: str) -> Tensor:
    if kind == "lsgan":
        return (scores - 1).square()
    if kind == "hinge":
        return functional.relu(1 - scores)
    if kind == "bce":
        return functional.softplus(-scores)
    return -scores


def _fake_penalty(scores: Tensor, kind: str) -> Tensor:
    if kind == "lsgan":
        return scores.square()
    if kind == "hinge":
        return functional.relu(1 + scores)
    if kind == "bce":
        return functional.softplus(scores)
    return scores


def _squared_gradient_norms(judgements: list[Judgement], inputs: Tensor) -> Tensor:
    if not judgements:
        raise ValueError("no judgement: give one per sub-discriminator")
    total = torch.zeros((), device=inputs.device)
    for judgement in judgements:
        scores = _scores(judgement)
        if judgement.mask is None:
            counts = scores.new_full((scores.shape[0],), scores.shape[1])
        else:
            counts = broadcast_mask(judgement.mask, scores).sum(dim=1)
        total = total + (scores.sum(dim=1) / counts.clamp(min=1)).sum() / len(judgements)
    (gradient,) = torch.autograd.grad(total, inputs, create_graph=True)
    return at_least_float32(gradient).flatten(1).square().sum(dim=1)
