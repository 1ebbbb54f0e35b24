import pytest
import torch
from torch import nn

from losses.adversarial import discriminator_loss, r1_penalty
from vocoder.discriminators import WaveDiscriminator, WaveDiscriminatorConfig

TINY = WaveDiscriminatorConfig(
    periods=(2, 3), period_width=2, scales=2, scale_width=16, fft_samples=(256, 128), fft_width=4
)


@pytest.fixture
def discriminator() -> WaveDiscriminator:
    torch.manual_seed(0)
    return WaveDiscriminator(TINY)


def test_every_configured_judge_speaks(discriminator: WaveDiscriminator) -> None:
    judgements = discriminator(torch.randn(3, 4099))
    assert len(judgements) == 6
    for judgement in judgements:
        assert judgement.scores.shape[0] == 3
        assert judgement.scores.ndim == 2
        assert judgement.mask is None
        assert len(judgement.feature_masks) == len(judgement.features) >= 3
        assert all(feature.shape[0] == 3 for feature in judgement.features)


def test_items_are_judged_by_themselves(discriminator: WaveDiscriminator) -> None:
    discriminator.eval()  # spectral norm iterates while training
    audio = torch.randn(2, 4096)
    together, alone = discriminator(audio), discriminator(audio[1:])
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a.scores[1:], b.scores, atol=1e-5)


def test_second_derivatives_reach_every_weight(discriminator: WaveDiscriminator) -> None:
    audio = (torch.randn(2, 4096) * 0.1).requires_grad_()
    r1_penalty(discriminator(audio), audio).backward()
    weights = [
        (name, module.weight)
        for name, module in discriminator.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d)
    ]
    assert len(weights) == 2 * 6 + 2 * 8 + 2 * 5
    for name, parameter in discriminator.named_parameters():
        if not name.endswith("bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_learns_to_tell_pulses_from_noise(discriminator: WaveDiscriminator) -> None:
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=3e-3)
    pulses = torch.zeros(2, 2048)
    pulses[:, ::100] = 1.0
    losses = []
    for _ in range(25):
        noise = torch.randn(2, 2048) * 0.1
        real = pulses.roll(len(losses) * 7, 1) + 1e-3 * noise
        loss = discriminator_loss(discriminator(real), discriminator(noise))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_silence_and_bf16_are_finite(discriminator: WaveDiscriminator) -> None:
    audio = torch.zeros(1, 4096, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        judgements = discriminator(audio)
    sum(j.scores.float().square().mean() for j in judgements).backward()
    assert audio.grad.isfinite().all()


@pytest.mark.parametrize(
    "values",
    [
        {"periods": (), "fft_samples": ()},
        {"periods": (0,)},
        {"scales": 1, "scale_width": 24},
        {"fft_samples": (100,)},
        {"period_width": 0},
    ],
)
def test_refuses_impossible_configurations(values: dict) -> None:
    with pytest.raises(ValueError, match="discriminator"):
        WaveDiscriminatorConfig(**values)
