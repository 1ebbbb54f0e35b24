"""Contrastive losses behind one dispatcher: clips of one speaker together, others apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from losses.reduction import at_least_float32, masked_mean

CONTRASTIVE_KINDS = ("info_nce", "nt_xent", "triplet", "circle")


@dataclass(frozen=True)
class ContrastiveParameters:
    """Parameters of the contrastive kinds.

    Raises:
        ValueError: A field that is not positive.
    """

    temperature: float = 0.1
    """Divisor of the cosines in `info_nce` and `nt_xent`."""
    triplet_margin: float = 0.3
    """Wanted difference of cosine distances in `triplet`."""
    circle_margin: float = 0.25
    """Relaxation m of `circle`: positives above 1 - m, negatives below m."""
    circle_scale: float = 64.0
    """Scale gamma of `circle`."""

    def __post_init__(self) -> None:
        values = (self.temperature, self.triplet_margin, self.circle_margin, self.circle_scale)
        if not all(value > 0 for value in values):
            raise ValueError(f"contrastive parameters {values}: give numbers above 0")


def contrastive(
    anchors: Float[Tensor, "batch channels"],
    positives: Float[Tensor, "batch channels"],
    speakers: Int[Tensor, " batch"],
    kind: str = "info_nce",
    parameters: ContrastiveParameters | None = None,
) -> Float[Tensor, ""]:
    """Return the mean contrastive loss of the given kind.

    Item i of `positives` is another clip of the speaker of anchor i; items of other speakers are
    the negatives. Other items of the same speaker are never negatives. A batch of one speaker has
    nothing to contrast and gives 0 (without this, fine-tuning on one voice would tear it apart).

    Args:
        anchors: Embeddings, z_spk; their length is normalised inside.
        positives: Embeddings of other clips of the same speakers.
        speakers: Speaker id of each item.
        kind: One of `CONTRASTIVE_KINDS`; the functions below say what each is for.
        parameters: Parameters of the kinds; None: the defaults.

    Raises:
        ValueError: Unknown kind.
    """
    parameters = parameters or ContrastiveParameters()
    if kind == "info_nce":
        return info_nce(anchors, positives, speakers, parameters.temperature)
    if kind == "nt_xent":
        return nt_xent(anchors, positives, speakers, parameters.temperature)
    if kind == "triplet":
        return triplet(anchors, positives, speakers, parameters.triplet_margin)
    if kind == "circle":
        margin, scale = parameters.circle_margin, parameters.circle_scale
        return circle(anchors, positives, speakers, margin, scale)
    raise ValueError(f"unknown contrastive kind {kind!r}: use one of {CONTRASTIVE_KINDS}")


def info_nce(
    anchors: Float[Tensor, "batch channels"],
    positives: Float[Tensor, "batch channels"],
    speakers: Int[Tensor, " batch"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return mean_i - log(exp(s_ii / T) / (exp(s_ii / T) + sum_j exp(s_ij / T))).

    van den Oord et al., arXiv 1807.03748, eq. 4: s_ij the cosine of anchor i and positive j, j over
    items of other speakers, T the temperature. The default: every negative counts, hard ones most.
    Bounded below by 0 and, with N negatives, about log(N + 1) at random.
    """
    similarity = _cosines(anchors, positives) / temperature
    logits = similarity.masked_fill(_same_speaker_elsewhere(speakers), -torch.inf)
    index = torch.arange(len(logits), device=logits.device)
    return functional.cross_entropy(logits, index)


def nt_xent(
    anchors: Float[Tensor, "batch channels"],
    positives: Float[Tensor, "batch channels"],
    speakers: Int[Tensor, " batch"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return InfoNCE over both views at once: 2 batch anchors, each with one positive.

    Chen et al. (SimCLR), arXiv 2002.05709, eq. 1: both views are anchors, and the negatives of each
    are the items of other speakers in both. Twice the negatives of `info_nce` from the same batch,
    for small batches. Difference: same-speaker items are left out of the denominator.
    """
    both = torch.cat([anchors, positives])
    similarity = _cosines(both, both) / temperature
    count = len(anchors)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    excluded = (speakers[:, None] == speakers[None, :]).repeat(2, 2)
    excluded[torch.arange(2 * count, device=both.device), partner] = False
    return functional.cross_entropy(similarity.masked_fill(excluded, -torch.inf), partner)


def triplet(
    anchors: Float[Tensor, "batch channels"],
    positives: Float[Tensor, "batch channels"],
    speakers: Int[Tensor, " batch"],
    margin: float = 0.3,
) -> Float[Tensor, ""]:
    """Return mean_i max(0, d(a_i, p_i) - min_j d(a_i, p_j) + margin), d = 1 - cosine.

    Schroff et al. (FaceNet), arXiv 1503.03832, eq. 2, with the hardest negative of the batch
    (Hermans et al., arXiv 1703.07737, section 2). Stops at the margin, so it does not squeeze the
    spread within a speaker. Difference: cosine instead of squared Euclidean distance.
    """
    similarity = _cosines(anchors, positives)
    negatives = speakers[:, None] != speakers[None, :]
    # -2 is below any cosine: the row of an anchor without negatives is masked out of the mean.
    hardest = similarity.masked_fill(~negatives, -2.0).amax(dim=1)
    return masked_mean((hardest - similarity.diagonal() + margin).relu(), negatives.any(dim=1))


def circle(
    anchors: Float[Tensor, "batch channels"],
    positives: Float[Tensor, "batch channels"],
    speakers: Int[Tensor, " batch"],
    margin: float = 0.25,
    scale: float = 64.0,
) -> Float[Tensor, ""]:
    """Return mean_i softplus(logsumexp_j g a_n (s_n - m) + logsumexp_k -g a_p (s_p - 1 + m)).

    Sun et al., arXiv 2002.10857, eqs. 6-8: s_p cosines to all positives of the anchor's speaker,
    s_n to the others, a_p = [1 + m - s_p]_+ and a_n = [s_n + m]_+ weights without gradient, m the
    margin, g the scale. Each pair is pushed as hard as it is wrong: when speakers are unequally
    separable.
    """
    similarity = _cosines(anchors, positives)
    same = speakers[:, None] == speakers[None, :]
    fixed = similarity.detach()
    push = scale * (fixed + margin).relu() * (similarity - margin)
    pull = -scale * (1 + margin - fixed).relu() * (similarity - 1 + margin)
    # A finite stand-in for -inf: a row without negatives would give NaN gradients.
    push = push.masked_fill(same, -1e9).logsumexp(dim=1)
    pull = pull.masked_fill(~same, -1e9).logsumexp(dim=1)
    return masked_mean(functional.softplus(push + pull), (~same).any(dim=1))


def _cosines(left: Tensor, right: Tensor) -> Tensor:
    with torch.autocast(left.device.type, enabled=False):
        left = functional.normalize(at_least_float32(left), dim=1, eps=1e-6)
        right = functional.normalize(at_least_float32(right), dim=1, eps=1e-6)
        return left @ right.T


def _same_speaker_elsewhere(speakers: Tensor) -> Tensor:
    same = speakers[:, None] == speakers[None, :]
    return same & ~torch.eye(len(speakers), dtype=torch.bool, device=speakers.device)
