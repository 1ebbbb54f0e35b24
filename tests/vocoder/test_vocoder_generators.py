from dataclasses import asdict

import pytest
import torch
from omegaconf import OmegaConf

from data.mel import AudioConfig, LogMel
from vocoder.excitation import pulse_train
from vocoder.generator import Vocoder, VocoderConfig, build_vocoder
from vocoder.hifigan import HiFiGANConfig
from vocoder.pitch import PitchConfig
from vocoder.prior_istft import PriorISTFTConfig

AUDIO = AudioConfig()
SMALL_AUDIO = AudioConfig(fft_samples=256, hop_samples=64, mel_channels=20)
TINY = PriorISTFTConfig(width=32, ff_width=48, layers=2, pitch=PitchConfig(channels=16, layers=2))
KINDS = {
    "prior_istft": VocoderConfig(kind="prior_istft", prior_istft=TINY),
    "hifigan": VocoderConfig(kind="hifigan", hifigan=HiFiGANConfig("v3", upsample_rates=(8, 4, 2))),
}


@pytest.fixture(params=KINDS)
def vocoder(request: pytest.FixtureRequest) -> Vocoder:
    torch.manual_seed(0)
    vocoder = build_vocoder(KINDS[request.param], SMALL_AUDIO)
    with torch.no_grad():
        # Fresh weights hardly react to the mel: larger ones show what padding would change.
        for parameter in vocoder.parameters():
            parameter.mul_(1.5)
    return vocoder


def inputs(frames: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    mel = torch.randn(2, 20, frames) - 6
    f0 = 120 + 80 * torch.rand(2, frames)
    f0[:, 8:11] = 0
    return mel, f0


@pytest.mark.parametrize("with_f0", [True, False])
def test_padding_changes_nothing(vocoder: Vocoder, with_f0: bool) -> None:
    vocoder.eval()
    mel, f0 = inputs()
    lengths = torch.tensor([24, 13])
    pitch, pitch_alone = (f0, f0[1:, :13]) if with_f0 else (None, None)
    batch = vocoder(mel, pitch, torch.Generator().manual_seed(1), lengths)
    alone = vocoder(mel[1:, :, :13], pitch_alone, torch.Generator().manual_seed(1))
    assert batch.shape == (2, 24 * 64)
    assert alone.abs().max() > 1e-3
    assert torch.allclose(batch[1:, : 13 * 64], alone, atol=1e-4)
    assert torch.equal(batch[1, 13 * 64 :], torch.zeros(11 * 64))


def test_gradients_reach_every_weight_of_the_waveform_path(vocoder: Vocoder) -> None:
    mel, f0 = inputs()
    vocoder(mel, f0).square().mean().backward()
    for name, parameter in vocoder.named_parameters():
        if name.startswith("pitch."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_predicted_pitch_gets_no_gradient(vocoder: Vocoder) -> None:
    mel, _ = inputs()
    vocoder(mel).square().mean().backward()
    pitch = [p.grad for n, p in vocoder.named_parameters() if n.startswith("pitch.")]
    assert all(gradient is None for gradient in pitch)


def test_auxiliary_losses_train_exactly_the_helper_networks(vocoder: Vocoder) -> None:
    mel, f0 = inputs()
    losses = vocoder.auxiliary_losses(mel, f0, torch.tensor([24, 13]))
    helpers = [p for n, p in vocoder.named_parameters() if n.startswith("pitch.")]
    assert set(losses) == ({"f0"} if helpers else set())
    for loss in losses.values():
        loss.backward()
    assert all(p.grad is not None for p in helpers)


def test_bf16_autocast_is_close_to_fp32(vocoder: Vocoder) -> None:
    vocoder.eval()
    mel, f0 = inputs()
    exact = vocoder(mel, f0, torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        rough = vocoder(mel, f0, torch.Generator().manual_seed(1))
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.1 * exact.norm()


def test_folded_weights_sound_the_same(vocoder: Vocoder) -> None:
    vocoder.eval()
    mel, f0 = inputs()
    before = vocoder(mel, f0, torch.Generator().manual_seed(1))
    vocoder.fold_weight_norm()
    after = vocoder(mel, f0, torch.Generator().manual_seed(1))
    assert torch.allclose(before, after, atol=1e-5)
    assert not any("parametrizations" in name for name in vocoder.state_dict())


def test_priors_alone_speak_the_mel() -> None:
    """An untrained generator already makes audio whose mel is close to the one asked for."""
    torch.manual_seed(0)
    mel_of = LogMel(AUDIO)
    f0 = torch.full((1, 60), 180.0)
    curve = f0.repeat_interleave(AUDIO.hop_samples, 1)
    audio = 0.01 * pulse_train(curve, AUDIO.sample_rate_hz)
    audio = audio + 1e-3 * torch.randn(audio.shape)
    mel = mel_of(audio)
    vocoder = build_vocoder(VocoderConfig(prior_istft=TINY), AUDIO).eval()
    with torch.no_grad():
        again = mel_of(vocoder(mel, f0, torch.Generator().manual_seed(0)))
    inner = slice(4, -4)  # a pulse train that begins at once is no speech
    assert (again - mel)[..., inner].abs().mean() < 0.4


def test_prior_istft_learns_a_crop() -> None:
    torch.manual_seed(0)
    vocoder = build_vocoder(KINDS["prior_istft"], SMALL_AUDIO)
    mel_of = LogMel(SMALL_AUDIO)
    f0 = torch.full((4, 24), 200.0)
    audio = 0.02 * pulse_train(f0.repeat_interleave(64, 1), SMALL_AUDIO.sample_rate_hz)
    audio = audio + 3e-3 * torch.randn(audio.shape)
    mel = mel_of(audio)
    optimizer = torch.optim.AdamW(vocoder.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (mel_of(vocoder(mel, f0)) - mel).abs().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_noise_depends_on_the_generator_only() -> None:
    vocoder = build_vocoder(KINDS["prior_istft"], SMALL_AUDIO).eval()
    mel, f0 = inputs()
    first = vocoder(mel, f0, torch.Generator().manual_seed(1))
    torch.rand(1)
    assert torch.equal(first, vocoder(mel, f0, torch.Generator().manual_seed(1)))
    assert not torch.allclose(first, vocoder(mel, f0, torch.Generator().manual_seed(2)))
    vocoder.train()
    same = vocoder(mel[:1].expand(2, -1, -1), f0[:1].expand(2, -1))
    assert not torch.allclose(same[0], same[1])


def test_sizes_are_those_of_the_design() -> None:
    def millions(config: VocoderConfig) -> float:
        return sum(p.numel() for p in build_vocoder(config, AUDIO).parameters()) / 1e6

    assert 4 < millions(VocoderConfig()) < 7
    # Table 1 of arXiv 2010.05646: 13.92, 0.92 and 1.46 M at 80 bands.
    for variant, expected in {"v1": 14.0, "v2": 0.95, "v3": 1.5}.items():
        config = VocoderConfig(kind="hifigan", hifigan=HiFiGANConfig(variant))
        assert millions(config) == pytest.approx(expected, rel=0.01)


def test_configuration_is_a_structured_config() -> None:
    structured = OmegaConf.to_container(OmegaConf.structured(VocoderConfig))
    assert structured["kind"] == VocoderConfig().kind
    assert structured["prior_istft"] == asdict(PriorISTFTConfig())
    values = OmegaConf.merge(OmegaConf.structured(HiFiGANConfig), {"upsample_rates": [8, 4, 2]})
    assert list(values.upsample_rates) == [8, 4, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VocoderConfig(kind="wavenet"), "prior_istft"),
        (lambda: HiFiGANConfig("v9"), "v1, v2, v3"),
        (lambda: HiFiGANConfig("v1", (5, 5)), "even"),
        (lambda: HiFiGANConfig("v2", (2,) * 8), "give at most 7"),
        (lambda: PriorISTFTConfig(kernel_frames=4), "odd"),
        (lambda: PriorISTFTConfig(consistency_steps=-1), "0 or more"),
        (lambda: build_vocoder(VocoderConfig(kind="hifigan"), SMALL_AUDIO), "product is the hop"),
    ],
)
def test_refuses_impossible_configurations(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
