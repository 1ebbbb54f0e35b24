import math

import pytest
import torch
from torch.nn import functional

from losses.contrastive import (
    CONTRASTIVE_KINDS,
    ContrastiveParameters,
    circle,
    contrastive,
    info_nce,
    nt_xent,
    triplet,
)

DISTINCT = torch.arange(4)


def batch(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=dtype), torch.randn(4, 6, dtype=dtype)


def cosines(left, right):
    return functional.normalize(left, dim=1) @ functional.normalize(right, dim=1).T


def test_info_nce_by_hand():
    anchors, positives = batch()
    logits = cosines(anchors, positives) / 0.2
    expected = (logits.logsumexp(1) - logits.diagonal()).mean()
    torch.testing.assert_close(info_nce(anchors, positives, DISTINCT, 0.2), expected)


def test_nt_xent_by_hand():
    anchors, positives = batch()
    both = torch.cat([anchors, positives])
    shares = (cosines(both, both) / 0.5).exp()
    terms = []
    for i in range(8):
        others = [j for j in range(8) if j != i]
        terms.append(-(shares[i, (i + 4) % 8] / shares[i, others].sum()).log())
    torch.testing.assert_close(
        nt_xent(anchors, positives, DISTINCT, 0.5), torch.stack(terms).mean()
    )


def test_triplet_by_hand():
    # Cosines: positives 1, nearest negatives 0 and 0.6; the margin asks for 0.5.
    anchors = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    positives = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    value = triplet(anchors, positives, torch.tensor([0, 1]), margin=0.5)
    assert value.item() == pytest.approx((max(0, 0 - 1 + 0.5) + (0.6 - 0.8 + 0.5)) / 2)


def test_circle_by_hand():
    anchors, positives = batch()
    speakers = torch.tensor([0, 0, 1, 2])
    similarity, m, g = cosines(anchors, positives), 0.25, 8.0
    terms = []
    for i in range(4):
        total_p = total_n = 0.0
        for j in range(4):
            s = similarity[i, j].item()
            if speakers[i] == speakers[j]:
                total_p += math.exp(-g * max(0, 1 + m - s) * (s - (1 - m)))
            else:
                total_n += math.exp(g * max(0, s + m) * (s - m))
        terms.append(math.log(1 + total_p * total_n))
    value = circle(anchors, positives, speakers, m, g)
    assert value.item() == pytest.approx(sum(terms) / 4, rel=1e-4)


@pytest.mark.parametrize("kind", CONTRASTIVE_KINDS)
def test_items_of_the_same_speaker_are_not_pushed_apart(kind):
    anchors, positives = batch()
    anchors.requires_grad_()
    loss = contrastive(anchors, positives, torch.zeros(4, dtype=torch.long), kind)
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, anchors)
    assert gradient.abs().sum() == 0


@pytest.mark.parametrize("kind", CONTRASTIVE_KINDS)
def test_descent_gathers_speakers(kind):
    torch.manual_seed(0)
    embeddings = torch.randn(2, 6, 8, requires_grad=True)
    speakers = torch.tensor([0, 0, 1, 1, 2, 2])
    optimizer = torch.optim.Adam([embeddings], lr=0.05)
    first = contrastive(embeddings[0], embeddings[1], speakers, kind).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = contrastive(embeddings[0], embeddings[1], speakers, kind)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first
    similarity = cosines(embeddings[0], embeddings[1]).detach()
    negatives = similarity[speakers[:, None] != speakers[None, :]]
    assert similarity.diagonal().min() > negatives.max()


@pytest.mark.parametrize("kind", ["info_nce", "nt_xent", "triplet"])
def test_gradients_by_finite_differences(kind):
    anchors, positives = (x.requires_grad_() for x in batch(torch.float64))
    speakers = torch.tensor([0, 0, 1, 2])
    assert torch.autograd.gradcheck(
        lambda a, p: contrastive(a, p, speakers, kind), (anchors, positives)
    )


def test_gradient_of_circle_treats_its_weights_as_constants():
    # One positive and one negative: d loss / d s_n = sigmoid(x) g a_n, s_n = cosine.
    angle = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    positives = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    anchor = torch.stack([angle.cos(), angle.sin()])
    loss = circle(torch.stack([anchor, positives[1]]), positives, torch.tensor([0, 1]), 0.25, 4.0)
    (gradient,) = torch.autograd.grad(loss, angle)
    sp, sn = math.sin(0.4), math.cos(0.4)
    ap, an = 4 * (1.25 - sp), 4 * (sn + 0.25)
    x = an * (sn - 0.25) - ap * (sp - 0.75)
    expected = (an * -math.sin(0.4) - ap * math.cos(0.4)) / (1 + math.exp(-x)) / 2
    assert gradient.item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", CONTRASTIVE_KINDS)
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e4])
def test_extreme_embeddings_stay_finite_in_bf16(kind, scale):
    anchors, positives = (scale * x.bfloat16() for x in batch())
    anchors.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive(anchors, positives, DISTINCT, kind)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(anchors.grad).all()


def test_misuse_is_refused():
    anchors, positives = batch()
    with pytest.raises(ValueError, match="info_nce"):
        contrastive(anchors, positives, DISTINCT, "simclr")
    with pytest.raises(ValueError, match="above 0"):
        ContrastiveParameters(temperature=0.0)
