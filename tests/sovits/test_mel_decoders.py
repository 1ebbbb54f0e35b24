from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf

from sovits.decoder import DECODER_KINDS, DecoderConfig, MelDecoder, build_decoder
from sovits.flow_matching import start_noise

CONFIG = DecoderConfig(
    semantic_channels=12,
    speaker_channels=8,
    mel_channels=10,
    channels=16,
    token_layers=1,
    half_layers=1,
    frame_layers=1,
    frame_channels=12,
    flow_channels=16,
    flow_layers=2,
    steps=4,
)
VARIANTS = [replace(CONFIG, kind=k, frame_layers=n) for k in DECODER_KINDS for n in (0, 1)]


def decoder(config: DecoderConfig, size: float = 0.1) -> MelDecoder:
    """Return a decoder away from its initialisation, where some layers are zero."""
    torch.manual_seed(0)
    network = build_decoder(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return network


def inputs(tokens: int = 9, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    z_sem = torch.randn(batch, tokens, 12, generator=generator)
    return z_sem, torch.randn(batch, 8, generator=generator)


@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("length", [1, 5])
def test_padding_has_no_influence(config: DecoderConfig, length: int) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    z_sem[0, length:] = 30.0
    lengths = torch.tensor([length, 9])
    together = network(z_sem, lengths, z_spk).mel
    alone = network(z_sem[:1, :length], lengths[:1], z_spk[:1]).mel
    assert together.shape == (2, 10, 36)
    torch.testing.assert_close(together[:1, :, : 4 * length], alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        together[0, :, 4 * length :], torch.full((10, 36 - 4 * length), config.log_floor)
    )


@pytest.mark.parametrize("config", VARIANTS)
def test_padding_has_no_influence_on_samples(config: DecoderConfig) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    lengths = torch.tensor([5, 9])
    together = network.sample(z_sem, lengths, z_spk, torch.Generator().manual_seed(3))
    alone = network.sample(z_sem[:1, :5], lengths[:1], z_spk[:1], torch.Generator().manual_seed(3))
    torch.testing.assert_close(together[:1, :, :20], alone, atol=1e-4, rtol=0)
    assert together.min() >= config.log_floor
    assert not together.requires_grad


@pytest.mark.parametrize("config", VARIANTS)
def test_the_mel_depends_on_content_and_speaker(config: DecoderConfig) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    lengths = torch.tensor([9, 9])
    mel = network(z_sem, lengths, z_spk).mel
    assert (network(z_sem.flip(1), lengths, z_spk).mel - mel).abs().max() > 1e-2
    assert (network(z_sem, lengths, z_spk.flip(0)).mel - mel).abs().max() > 1e-2


@pytest.mark.parametrize("config", VARIANTS)
def test_every_parameter_is_trained(config: DecoderConfig) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    lengths = torch.tensor([5, 9])
    target = -4 + 2 * torch.randn(2, 10, 36)
    decoded = network(z_sem, lengths, z_spk, target, 4 * lengths)
    (decoded.mel.square().mean() + sum(decoded.terms.values())).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("config", VARIANTS)
def test_bfloat16_autocast_stays_close_and_returns_float32(config: DecoderConfig) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    lengths, target = torch.tensor([5, 9]), -4 + 2 * torch.randn(2, 10, 36)
    exact = network(z_sem, lengths, z_spk).mel
    with torch.autocast("cpu", torch.bfloat16):
        decoded = network(z_sem, lengths, z_spk, target, 4 * lengths)
        sampled = network.sample(z_sem, lengths, z_spk)
    assert {decoded.mel.dtype, sampled.dtype, *(t.dtype for t in decoded.terms.values())} == {
        torch.float32
    }
    torch.testing.assert_close(decoded.mel, exact, atol=0.2, rtol=0.05)


def test_regression_has_no_terms_and_is_deterministic() -> None:
    network, (z_sem, z_spk) = decoder(CONFIG), inputs()
    lengths = torch.tensor([5, 9])
    assert network(z_sem, lengths, z_spk, torch.randn(2, 10, 36), 4 * lengths).terms == {}
    torch.testing.assert_close(
        network.sample(z_sem, lengths, z_spk), network(z_sem, lengths, z_spk).mel.clamp(min=-11.513)
    )


def test_the_flow_term_ignores_frames_beyond_the_target() -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind="flow_matching")), inputs()
    lengths, target_lengths = torch.tensor([5, 9]), torch.tensor([18, 35])
    terms = []
    for filler in (-11.5, 40.0):
        target = -4 + 2 * torch.randn(2, 10, 36, generator=torch.Generator().manual_seed(5))
        target[0, :, 18:] = filler
        target[1, :, 35:] = filler
        torch.manual_seed(6)
        terms.append(network(z_sem, lengths, z_spk, target, target_lengths).terms["flow"])
    torch.testing.assert_close(terms[0], terms[1])


def test_the_flow_term_does_not_train_the_trunk_mel() -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind="flow_matching")), inputs()
    z_sem.requires_grad_()
    lengths, target = torch.tensor([9, 9]), torch.randn(2, 10, 36)
    network(z_sem, lengths, z_spk, target, 4 * lengths).terms["flow"].backward()
    assert network.trunk.leave.weight.grad is None
    assert z_sem.grad.abs().sum() > 0


def test_a_new_flow_predicts_no_motion() -> None:
    """Then the loss is E|r - e|², known in closed form for a target on the trunk mel."""
    torch.manual_seed(0)
    network = build_decoder(replace(CONFIG, kind="flow_matching", training_noise=0.5))
    z_sem, z_spk = inputs(tokens=200)
    lengths = torch.tensor([200, 200])
    target = network(z_sem, lengths, z_spk).mel.detach()
    flow = network(z_sem, lengths, z_spk, target, 4 * lengths).terms["flow"]
    torch.testing.assert_close(flow, torch.tensor(0.25), atol=0.01, rtol=0)


def test_the_flow_learns_the_spread_that_regression_cannot() -> None:
    """A target that is the trunk mel plus coherent ±1: samples must sit near ±1, not near 0."""
    torch.manual_seed(0)
    config = replace(CONFIG, kind="flow_matching", residual_scale=1.0, sampling_noise=1.0, steps=16)
    network = build_decoder(config)
    z_sem, z_spk = inputs(tokens=2, batch=32)
    lengths = torch.full((32,), 2)
    trunk = network(z_sem, lengths, z_spk).mel.detach()
    optimizer = torch.optim.Adam(network.velocity.parameters(), lr=3e-3)
    for _ in range(160):
        sign = torch.randint(0, 2, (32, 1, 1)) * 2.0 - 1
        term = network(z_sem, lengths, z_spk, trunk + 2 * sign, 4 * lengths).terms["flow"]
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
    sampled = network.sample(z_sem, lengths, z_spk, torch.Generator().manual_seed(1))
    residual = ((sampled - trunk) / 2).mean((1, 2))
    assert (residual.abs() > 0.5).float().mean() > 0.8
    assert residual.min() < -0.5
    assert residual.max() > 0.5


def test_samples_depend_on_the_generator_alone() -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind="flow_matching")), inputs()
    lengths = torch.tensor([5, 9])
    first, again, other = (
        network.sample(z_sem, lengths, z_spk, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    torch.testing.assert_close(first, again)
    assert (first - other)[0, :, :20].abs().max() > 1e-2


def test_start_noise_is_zero_in_the_padding_and_normal_elsewhere() -> None:
    noise = start_noise(torch.tensor([400, 100]), 500, 20, torch.Generator().manual_seed(0))
    assert not noise[0, 400:].any()
    assert not noise[1, 100:].any()
    torch.testing.assert_close(noise[0, :400].std(), torch.tensor(1.0), atol=0.05, rtol=0)


def test_a_target_needs_its_lengths() -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind="flow_matching")), inputs()
    with pytest.raises(ValueError, match="target_lengths"):
        network(z_sem, torch.tensor([9, 9]), z_spk, torch.randn(2, 10, 36))


def test_the_config_is_a_structured_config() -> None:
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DecoderConfig), {"steps": 3}))
    assert config == DecoderConfig(steps=3)


@pytest.mark.parametrize(
    "change", [{"kind": "gan"}, {"kernel": 2}, {"steps": 0}, {"floor": 0.0}, {"frame_layers": -1}]
)
def test_impossible_configs_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="decoder: "):
        replace(CONFIG, **change)
