import math
from dataclasses import replace

import librosa
import pytest
import torch
from omegaconf import OmegaConf

from sovits.decoder import (
    DECODER_KINDS,
    DecoderConfig,
    DiffusionConfig,
    MelDecoder,
    build_decoder,
)
from sovits.residual_network import start_noise

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
GENERATIVE = {"flow_matching": "flow", "diffusion": "diffusion"}
"""Kinds that draw samples, and the term of each."""
VARIANTS = [replace(CONFIG, kind=k, frame_layers=n) for k in DECODER_KINDS for n in (1, 2)]


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


def pitch(frames: int, batch: int = 2) -> torch.Tensor:
    """Return pitch curves whose every other three frames are voiced."""
    f0 = 120 + 100 * torch.rand(batch, frames, generator=torch.Generator().manual_seed(2))
    return f0 * (torch.arange(frames) // 3 % 2)


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
    decoded = network(z_sem, lengths, z_spk, target, 4 * lengths, pitch(36))
    (decoded.mel.square().mean() + sum(decoded.terms.values())).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("config", VARIANTS)
def test_bfloat16_autocast_stays_close_and_returns_float32(config: DecoderConfig) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    lengths, target = torch.tensor([5, 9]), -4 + 2 * torch.randn(2, 10, 36)
    exact = network(z_sem, lengths, z_spk, target, 4 * lengths, pitch(36)).mel
    with torch.autocast("cpu", torch.bfloat16):
        decoded = network(z_sem, lengths, z_spk, target, 4 * lengths, pitch(36))
        sampled = network.sample(z_sem, lengths, z_spk)
    assert {decoded.mel.dtype, sampled.dtype, *(t.dtype for t in decoded.terms.values())} == {
        torch.float32
    }
    torch.testing.assert_close(decoded.mel, exact, atol=0.2, rtol=0.05)


def test_regression_is_deterministic() -> None:
    network, (z_sem, z_spk) = decoder(CONFIG), inputs()
    lengths = torch.tensor([5, 9])
    torch.testing.assert_close(
        network.sample(z_sem, lengths, z_spk), network(z_sem, lengths, z_spk).mel.clamp(min=-11.513)
    )


@pytest.mark.parametrize(("kind", "term"), GENERATIVE.items())
def test_the_generative_term_ignores_frames_beyond_the_target(kind: str, term: str) -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind=kind)), inputs()
    lengths, target_lengths = torch.tensor([5, 9]), torch.tensor([18, 35])
    terms = []
    for filler in (-11.5, 40.0):
        target = -4 + 2 * torch.randn(2, 10, 36, generator=torch.Generator().manual_seed(5))
        target[0, :, 18:] = filler
        target[1, :, 35:] = filler
        torch.manual_seed(6)
        terms.append(network(z_sem, lengths, z_spk, target, target_lengths, pitch(36)).terms[term])
    torch.testing.assert_close(terms[0], terms[1])


@pytest.mark.parametrize(("kind", "term"), GENERATIVE.items())
def test_the_generative_term_does_not_train_the_trunk_mel(kind: str, term: str) -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind=kind)), inputs()
    z_sem.requires_grad_()
    lengths, target = torch.tensor([9, 9]), torch.randn(2, 10, 36)
    network(z_sem, lengths, z_spk, target, 4 * lengths, pitch(36)).terms[term].backward()
    assert network.trunk.leave.weight.grad is None
    assert z_sem.grad.abs().sum() > 0


def test_a_new_flow_guesses_the_velocity_from_the_noisy_residual_alone() -> None:
    """Of data of unit variance, its error is n² / (t² + n² (1 - t)²), in the mean n pi / 2."""
    torch.manual_seed(0)
    noise = 0.5
    network = build_decoder(replace(CONFIG, kind="flow_matching", training_noise=noise))
    z_sem, z_spk = inputs(tokens=20, batch=128)
    lengths = torch.full((128,), 20)
    f0 = pitch(80, 128)
    trunk = network(z_sem, lengths, z_spk, torch.zeros(128, 10, 80), 4 * lengths, f0).mel.detach()
    residual = network.config.residual_scale * network.config.mel_std * torch.randn_like(trunk)
    flow = network(z_sem, lengths, z_spk, trunk + residual, 4 * lengths, f0).terms["flow"]
    torch.testing.assert_close(flow, torch.tensor(noise * math.pi / 2), atol=0.02, rtol=0)


@pytest.mark.parametrize(("kind", "term"), GENERATIVE.items())
def test_samples_have_the_spread_that_regression_cannot_learn(kind: str, term: str) -> None:
    """A target that is the trunk mel plus coherent ±1: samples must sit near ±1, not near 0."""
    torch.manual_seed(0)
    config = replace(CONFIG, kind=kind, residual_scale=1.0, sampling_noise=1.0, steps=16)
    network = build_decoder(config)
    z_sem, z_spk = inputs(tokens=2, batch=32)
    lengths = torch.full((32,), 2)
    f0 = pitch(8, 32)
    trunk = network(z_sem, lengths, z_spk, torch.zeros(32, 10, 8), 4 * lengths, f0).mel.detach()
    optimizer = torch.optim.Adam(network.network.parameters(), lr=3e-3)
    for _ in range(160):
        sign = torch.randint(0, 2, (32, 1, 1)) * 2.0 - 1
        loss = network(z_sem, lengths, z_spk, trunk + 2 * sign, 4 * lengths, f0).terms[term]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sampled = network.sample(z_sem, lengths, z_spk, torch.Generator().manual_seed(1))
    residual = ((sampled - trunk) / 2).mean((1, 2))
    assert (residual.abs() > 0.5).float().mean() > 0.7
    assert residual.min() < -0.5
    assert residual.max() > 0.5


@pytest.mark.parametrize("kind", GENERATIVE)
def test_samples_depend_on_the_generator_alone(kind: str) -> None:
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind=kind)), inputs()
    lengths = torch.tensor([5, 9])
    first, again, other = (
        network.sample(z_sem, lengths, z_spk, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    torch.testing.assert_close(first, again)
    assert (first - other)[0, :, :20].abs().max() > 1e-2


@pytest.mark.parametrize(("loss", "expected"), [("mse", 1.0), ("mae", 0.798), ("huber", 0.425)])
def test_a_new_denoiser_predicts_no_noise(loss: str, expected: float) -> None:
    """Then the loss without Min-SNR is that of standard normal noise, known in closed form."""
    torch.manual_seed(0)
    diffusion = DiffusionConfig(loss=loss, min_snr_gamma=0.0)
    network = build_decoder(replace(CONFIG, kind="diffusion", diffusion=diffusion))
    z_sem, z_spk = inputs(tokens=200)
    lengths = torch.tensor([200, 200])
    decoded = network(z_sem, lengths, z_spk, torch.randn(2, 10, 800), 4 * lengths, pitch(800))
    torch.testing.assert_close(
        decoded.terms["diffusion"], torch.tensor(expected), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("kind", GENERATIVE)
def test_what_is_recovered_is_the_target_where_the_network_is_right(kind: str) -> None:
    """A network that knows noise and residual recovers the target exactly; another one does not."""
    network, (z_sem, z_spk) = decoder(replace(CONFIG, kind=kind)), inputs()
    lengths = torch.tensor([9, 5])
    target = -4 + 2 * torch.randn(2, 10, 36, generator=torch.Generator().manual_seed(5))
    target[1, :, 20:] = network.config.log_floor
    wrong = network(z_sem, lengths, z_spk, target, 4 * lengths, pitch(36)).recovered
    assert (wrong - target).abs().mean() > 1e-2
    assert wrong.requires_grad
    drawn: list[torch.Tensor] = []
    original, trunk_mel = torch.randn_like, network.trunk(z_sem, lengths, z_spk, pitch(36)).mel
    residual = (network.normalise(target) - trunk_mel) / network.config.residual_scale

    def kept(like: torch.Tensor) -> torch.Tensor:
        drawn.append(original(like))
        return drawn[-1]

    def knowing(x, time, known, z_spk, mask) -> torch.Tensor:
        return residual - drawn[-1] if kind == "flow_matching" else drawn[-1]

    whose, what = (
        (network, "velocity") if kind == "flow_matching" else (network.denoiser, "forward")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", kept)
        patch.setattr(whose, what, knowing)
        right = network(z_sem, lengths, z_spk, target, 4 * lengths, pitch(36))
    torch.testing.assert_close(right.recovered, target, atol=1e-4, rtol=1e-4)
    assert right.terms["flow" if kind == "flow_matching" else "diffusion"] < 1e-8


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_ddim_with_a_perfect_denoiser_finds_the_residual(schedule: str, monkeypatch) -> None:
    """Data in one point: the noise of any x_t is known, and every number of steps ends there."""
    diffusion = DiffusionConfig(schedule=schedule)
    for steps in (1, 3, 50):
        network = decoder(replace(CONFIG, kind="diffusion", steps=steps, diffusion=diffusion))
        z_sem, z_spk = inputs()
        lengths = torch.tensor([9, 9])

        def perfect(x, time, known, z_spk, mask, network=network) -> torch.Tensor:
            level = (time * network.config.diffusion.levels).round().long()
            signal = network.schedule.signal[level][:, None, None]
            return (x - signal.sqrt() * 0.7) / (1 - signal).sqrt()

        monkeypatch.setattr(network.denoiser, "forward", perfect)
        trunk = network(z_sem, lengths, z_spk).mel
        sampled = network.sample(z_sem, lengths, z_spk)
        expected = (trunk + 0.7 * 0.45 * 2.0).clamp(min=network.config.log_floor)
        torch.testing.assert_close(sampled, expected, atol=2e-3, rtol=0)


def test_start_noise_is_zero_in_the_padding_and_normal_elsewhere() -> None:
    noise = start_noise(torch.tensor([400, 100]), 500, 20, torch.Generator().manual_seed(0))
    assert not noise[0, 400:].any()
    assert not noise[1, 100:].any()
    torch.testing.assert_close(noise[0, :400].std(), torch.tensor(1.0), atol=0.05, rtol=0)


@pytest.mark.parametrize("config", VARIANTS)
def test_a_target_needs_its_lengths_and_pitch(config: DecoderConfig) -> None:
    network, (z_sem, z_spk) = decoder(config), inputs()
    lengths = torch.tensor([9, 9])
    with pytest.raises(ValueError, match="target_lengths"):
        network(z_sem, lengths, z_spk, torch.randn(2, 10, 36))
    with pytest.raises(ValueError, match="f0"):
        network(z_sem, lengths, z_spk, torch.randn(2, 10, 36), 4 * lengths)


def test_the_config_is_a_structured_config() -> None:
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DecoderConfig), {"steps": 3}))
    assert config == DecoderConfig(steps=3)


@pytest.mark.parametrize(
    "change", [{"kind": "gan"}, {"kernel": 2}, {"steps": 0}, {"floor": 0.0}, {"frame_layers": 0}]
)
def test_impossible_configs_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="decoder: "):
        replace(CONFIG, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": 1},
        {"schedule": "sigmoid"},
        {"loss": "l1"},
        {"min_snr_gamma": -1.0},
        {"start_signal": 0.0},
        {"limit": 0.0},
    ],
)
def test_impossible_diffusions_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=r"decoder: .*diffusion"):
        DiffusionConfig(**change)


def test_the_mel_follows_the_pitch_that_is_given() -> None:
    """With a comb's gain of 1, harmonics stand where the given pitch puts them."""
    config = replace(CONFIG, mel_channels=100)
    network, (z_sem, z_spk) = build_decoder(config).eval(), inputs()
    torch.nn.init.ones_(network.trunk.comb_gain.bias)
    lengths = torch.tensor([9, 9])
    flat, low, high = (
        network.trunk(z_sem, lengths, z_spk, torch.full((2, 36), hz)).mel
        for hz in (0.0, 150.0, 300.0)
    )
    centres = torch.from_numpy(librosa.mel_frequencies(102, fmin=0, fmax=12000)[1:-1])
    for mel, hz in ((low, 150), (high, 300)):
        comb = (mel - flat)[0, 10].detach()
        peak = (centres - 2 * hz).abs().argmin()
        valley = (centres - 2.5 * hz).abs().argmin()
        assert comb[peak] > comb[valley] + 0.2


def test_the_trunk_learns_the_pitch() -> None:
    torch.manual_seed(0)
    network, (z_sem, z_spk) = build_decoder(CONFIG), inputs(tokens=9, batch=2)
    lengths, f0 = torch.tensor([9, 9]), pitch(36)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(150):
        terms = network(z_sem, lengths, z_spk, torch.zeros(2, 10, 36), 4 * lengths, f0).terms
        optimizer.zero_grad()
        terms["pitch"].backward()
        optimizer.step()
    outputs = network.trunk(z_sem, lengths, z_spk)
    assert ((outputs.voicing > 0) == (f0 > 0)).float().mean() > 0.95
    error = (outputs.log_f0 - f0.clamp(min=1).log()).abs()[f0 > 0]
    assert error.mean() < 0.1
