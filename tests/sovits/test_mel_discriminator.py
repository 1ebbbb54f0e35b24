from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf

from losses.adversarial import Judgement, discriminator_loss
from losses.feature_matching import feature_matching_loss
from sovits.discriminator import (
    NORMS,
    MelDiscriminatorConfig,
    MultiScaleMelDiscriminator,
    masked_pool,
)

CONFIG = MelDiscriminatorConfig(
    mel_channels=20, first_bands=[0, 10, 0, 0], end_bands=[10, 20, 20, 20], channels=4, layers=3
)


def discriminator(**change: object) -> MultiScaleMelDiscriminator:
    torch.manual_seed(0)
    return MultiScaleMelDiscriminator(replace(CONFIG, **change)).eval()


def mels(frames: int, batch: int = 2) -> torch.Tensor:
    return -4 + 2 * torch.randn(batch, 20, frames, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("length", [1, 7, 18, 20])
def test_padding_has_no_influence(norm: str, length: int) -> None:
    network, mel = discriminator(norm=norm), mels(31)
    mel[0, :, length:] = 40.0
    alone = network(mel[:1, :, :length])
    together = network(mel, torch.tensor([length, 31]))
    for one, both in zip(alone, together, strict=True):
        assert one.mask.all()
        scores = both.scores[:1][both.mask[:1]]
        torch.testing.assert_close(scores, one.scores.flatten(), atol=1e-4, rtol=0)
        maps = zip(both.features, both.feature_masks, one.features, strict=True)
        for feature, mask, feature_alone in maps:
            valid = int(mask[0].sum())
            assert valid == feature_alone.shape[-1]
            torch.testing.assert_close(feature[:1, ..., :valid], feature_alone, atol=1e-4, rtol=0)


def test_each_part_sees_its_bands_only() -> None:
    network, mel = discriminator(), mels(24)
    changed = mel.clone()
    changed[:, 15] += 3
    same = [
        torch.equal(a.scores, b.scores) for a, b in zip(network(mel), network(changed), strict=True)
    ]
    assert same == [True, False, False, False]


def test_pooling_averages_valid_frames_only() -> None:
    x = torch.arange(6.0).view(1, 1, 6)
    mask = torch.tensor([[True, True, True, True, True, False]])
    pooled, valid = masked_pool(x, mask, 4)
    torch.testing.assert_close(pooled, torch.tensor([[[1.5, 4.0]]]))
    assert valid.all()
    _, valid = masked_pool(x, mask & (x[:, 0] < 4), 4)
    assert valid.tolist() == [[True, False]]


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_penalty_reaches_every_weight(norm: str) -> None:
    network = discriminator(norm=norm).train()
    mel = mels(24).requires_grad_()
    scores = sum(part.scores.sum() for part in network(mel, torch.tensor([24, 15])))
    (gradient,) = torch.autograd.grad(scores, mel, create_graph=True)
    assert not gradient[1, :, 15:].any()
    gradient.square().sum().backward()
    weights = [n for n, p in network.named_parameters() if "bias" not in n]
    silent = [n for n in weights if not network.get_parameter(n).grad.any()]
    assert silent == []


def test_gradient_penalty_agrees_with_finite_differences() -> None:
    network = discriminator(norm="none").double()
    mel = mels(9, batch=1).double().requires_grad_()

    def penalty() -> torch.Tensor:
        scores = sum(part.scores.sum() for part in network(mel))
        (gradient,) = torch.autograd.grad(scores, mel, create_graph=True)
        return gradient.square().sum()

    weight = network.parts[0].convolutions[1].weight
    (exact,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn_like(weight)
    step = 1e-6
    with torch.no_grad():
        weight.add_(step * direction)
    above = penalty().detach()
    with torch.no_grad():
        weight.sub_(2 * step * direction)
    below = penalty().detach()
    torch.testing.assert_close(
        (above - below) / (2 * step), (exact * direction).sum(), rtol=1e-3, atol=1e-5
    )


def test_learns_to_tell_textured_from_smooth_mels() -> None:
    network = discriminator(channels=12).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    torch.manual_seed(0)

    def judge(batch: int) -> tuple[list[Judgement], list[Judgement]]:
        lengths = torch.randint(16, 33, (batch,))
        smooth = -4 + 0.5 * torch.randn(batch, 20, 1).expand(-1, -1, 32)
        return network(smooth + torch.randn(batch, 20, 32), lengths), network(smooth, lengths)

    for _ in range(50):
        loss = discriminator_loss(*judge(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    real, fake = judge(32)
    assert discriminator_loss(real, fake) < 0.25  # undecided: 0.5
    assert feature_matching_loss(real, fake) > 0


def test_bfloat16_autocast_stays_close() -> None:
    network, mel, lengths = discriminator(), mels(24), torch.tensor([24, 15])
    with torch.autocast("cpu", torch.bfloat16):
        reduced = network(mel, lengths)
    for low, high in zip(reduced, network(mel, lengths), strict=True):
        torch.testing.assert_close(low.scores.float(), high.scores, atol=0.1, rtol=0.1)


def test_the_config_is_a_structured_config() -> None:
    merged = OmegaConf.merge(OmegaConf.structured(MelDiscriminatorConfig), {"channels": 8})
    config = OmegaConf.to_object(merged)
    assert len(MultiScaleMelDiscriminator(config)(torch.randn(1, 100, 16))) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "batch"},
        {"pool_frames": [1, 2]},
        {"end_bands": [10, 20, 20, 21]},
        {"first_bands": [10, 10, 0, 0]},
        {"kernel": 2},
        {"layers": 0},
    ],
)
def test_impossible_configs_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="mel discriminator: "):
        replace(CONFIG, **change)
