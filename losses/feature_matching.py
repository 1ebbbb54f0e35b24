"""Feature matching: the generated input should excite the discriminator as the real one does."""

import torch
from jaxtyping import Float
from torch import Tensor

from losses.adversarial import Judgement
from losses.reduction import at_least_float32, masked_mean, zero_padding


def feature_matching_loss(
    real: list[Judgement], fake: list[Judgement], relative: bool = False
) -> Float[Tensor, ""]:
    """Return the mean absolute distance of discriminator activations.

    L = 1/(K L_k) sum_k sum_l mean |D_k^l(x) - D_k^l(G(z))|; Kumar et al. (MelGAN),
    arXiv 1910.06711, eq. 4. K sub-discriminators, L_k hidden layers of the k-th, x the real input,
    G(z) the generated one. Use it with every adversarial term (weight 2): it is what makes speech
    GANs converge. Differences: means over k and l instead of sums, valid positions only, and
    with `relative` each layer is divided by mean |D_k^l(x)| (EnCodec, arXiv 2210.13438, eq. 2), so
    that a discriminator with growing activations does not take over.

    Args:
        real: Judgements of the real inputs. Their features are detached: this term trains the
            generator only.
        fake: Judgements of the generated inputs.
        relative: Divide each layer's distance by the mean magnitude of the real features.

    Raises:
        ValueError: The judgements do not pair up, or none has features.
    """
    if len(real) != len(fake):
        raise ValueError(f"{len(real)} real judgements but {len(fake)} fake ones: give pairs")
    terms = []
    for real_judgement, fake_judgement in zip(real, fake, strict=True):
        if len(real_judgement.features) != len(fake_judgement.features):
            raise ValueError("real and fake judgements have different numbers of feature maps")
        layers = [
            _distance(real_map.detach(), fake_map, mask, relative)
            for real_map, fake_map, mask in zip(
                real_judgement.features,
                fake_judgement.features,
                real_judgement.feature_masks,
                strict=True,
            )
        ]
        if layers:
            terms.append(torch.stack(layers).mean())
    if not terms:
        raise ValueError("no features to match: the discriminators must return feature maps")
    return torch.stack(terms).mean()


def _distance(real: Tensor, fake: Tensor, mask: Tensor | None, relative: bool) -> Tensor:
    real = zero_padding(at_least_float32(real), mask)
    fake = zero_padding(at_least_float32(fake), mask)
    distance = masked_mean((real - fake).abs(), mask)
    if not relative:
        return distance
    return distance / masked_mean(real.abs(), mask).clamp(min=1e-5)
