"""The discriminators' accuracy against values by hand."""

import pytest
import torch

from losses.accuracy import discriminator_accuracies
from losses.adversarial import Judgement


def judged(*scores: float) -> Judgement:
    return Judgement(torch.tensor([scores]))


@pytest.mark.parametrize(
    ("kind", "real", "fake", "expected"),
    [
        ("lsgan", (0.9, 0.4), (0.1, 0.2), 0.75),
        ("lsgan", (0.9, 0.9), (0.8, 0.8), 0.5),  # everything is called real: guessing
        ("hinge", (0.4, -0.1), (0.1, -0.2), 0.5),
        ("bce", (2.0, 3.0), (-1.0, -2.0), 1.0),
        ("wasserstein", (12.0, 10.0), (8.0, 9.0), 1.0),  # scores have no origin
    ],
)
def test_accuracy_by_hand(kind, real, fake, expected) -> None:
    (share,) = discriminator_accuracies([judged(*real)], [judged(*fake)], kind)
    assert share.item() == pytest.approx(expected)


def test_padding_does_not_count_and_each_sub_discriminator_has_its_own() -> None:
    mask = torch.tensor([[True, False]])
    real = [Judgement(torch.tensor([[0.9, 0.0]]), mask=mask), judged(0.1, 0.2)]
    fake = [Judgement(torch.tensor([[0.1, 9.0]]), mask=mask), judged(0.1, 0.2)]
    first, second = discriminator_accuracies(real, fake)
    assert (first.item(), second.item()) == (1.0, 0.5)
