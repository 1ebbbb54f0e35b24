"""Perceptual consistency: what the generated speech says and whose voice it is."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from losses.reduction import at_least_float32, masked_mean, zero_padding


def content_consistency(
    generated: Float[Tensor, "batch positions channels"],
    target: Float[Tensor, "batch positions channels"],
    mask: Bool[Tensor, "batch positions"] | None = None,
) -> Float[Tensor, ""]:
    """Return mean |F(x') - F(x)| / mean |F(x)|, the distance of tokenizer features.

    The feature reconstruction loss of Johnson et al., arXiv 1603.08155, eq. 2, with the semantic
    tokenizer as F: x' generated, x target speech. It asks for the same phonemes at the same time
    and leaves the timbre free. Differences: L1, and relative to the target features, so that its
    weight does not depend on the tokenizer.

    Args:
        generated: Features of the generated mel, through a frozen tokenizer whose parameters need
            no gradient but whose input does.
        target: Features of the target mel; detached.
        mask: True at positions on data.
    """
    over_channels = None if mask is None else mask.unsqueeze(-1)
    generated = zero_padding(at_least_float32(generated), over_channels)
    target = zero_padding(at_least_float32(target.detach()), over_channels)
    distance = masked_mean((generated - target).abs(), over_channels)
    return distance / masked_mean(target.abs(), over_channels).clamp(min=1e-5)


def speaker_consistency(
    generated: Float[Tensor, "batch channels"], reference: Float[Tensor, "batch channels"]
) -> Float[Tensor, ""]:
    """Return mean (1 - cos(e', e)) in [0, 2]: is the generated voice the reference's?

    Casanova et al. (YourTTS), arXiv 2112.02418, eq. 1: e' the speaker embedding of the generated
    speech, e of the reference. Differences: 1 minus the cosine, so that 0 is perfect; and the
    gradient really reaches the generated side (in the published code none did): e' must be
    computed with gradients enabled, while e is detached here, so that the encoder cannot make both
    sides agree by moving the reference.

    Args:
        generated: Embeddings of generated speech.
        reference: Embeddings of the reference recordings.
    """
    generated = at_least_float32(generated)
    reference = at_least_float32(reference.detach())
    return (1 - functional.cosine_similarity(generated, reference, dim=1, eps=1e-6)).mean()
