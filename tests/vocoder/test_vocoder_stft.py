import pytest
import torch

from data.mel import AudioConfig, LogMel
from vocoder.stft import Stft


@pytest.fixture
def stft() -> Stft:
    return Stft(64, 16)


def test_inverse_returns_the_audio(stft: Stft) -> None:
    audio = torch.randn(2, 16 * 20)
    assert torch.allclose(stft.inverse(stft(audio)), audio, atol=1e-5)


def test_framing_is_that_of_the_mel() -> None:
    config = AudioConfig()
    mel = LogMel(config)
    audio = torch.randn(2, 256 * 12 + 100) * 0.1
    magnitude = Stft(config.fft_samples, config.hop_samples)(audio).abs()
    expected = (mel.filterbank @ magnitude).clamp(min=config.floor).log()
    assert torch.allclose(mel(audio), expected, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 2, 3, 9])
def test_short_audio_and_padding_give_what_the_item_gives_alone(stft: Stft, frames: int) -> None:
    audio = torch.randn(3, 16 * 12)
    lengths = torch.tensor([12, frames, 5])
    alone = audio[1:2, : 16 * frames]
    batch = stft(audio, lengths)
    assert torch.allclose(batch[1:2, :, :frames], stft(alone), atol=1e-5)
    assert torch.equal(batch[1, :, frames:], torch.zeros_like(batch[1, :, frames:]))
    spectrum = torch.randn(3, 33, 12, dtype=torch.complex64)
    back = stft.inverse(spectrum, lengths)
    assert torch.allclose(
        back[1:2, : 16 * frames], stft.inverse(spectrum[1:2, :, :frames]), atol=1e-4
    )
    assert torch.equal(back[1, 16 * frames :], torch.zeros(16 * (12 - frames)))


def test_reflection_at_ends_is_torchs_reflection(stft: Stft) -> None:
    audio = torch.randn(2, 16 * 9)
    assert torch.allclose(stft(audio, torch.tensor([9, 9])), stft(audio), atol=1e-6)


def test_gradients_flow_twice(stft: Stft) -> None:
    audio = torch.randn(1, 16 * 6, requires_grad=True)
    energy = stft.inverse(stft(audio) * 2).square().sum()
    (gradient,) = torch.autograd.grad(energy, audio, create_graph=True)
    gradient.square().sum().backward()
    # energy = 4 |x|^2, gradient 8 x, its energy 64 |x|^2, whose gradient is 128 x.
    assert torch.allclose(audio.grad, 128 * audio.detach(), rtol=1e-3, atol=1e-3)


def test_stays_in_fp32_under_autocast(stft: Stft) -> None:
    audio = torch.randn(1, 16 * 6)
    with torch.autocast("cpu", torch.bfloat16):
        back = stft.inverse(stft(audio.bfloat16()))
    assert back.dtype == torch.float32
    assert torch.allclose(back, audio.bfloat16().float(), atol=1e-5)


@pytest.mark.parametrize(("fft", "hop"), [(64, 24), (64, 63)])
def test_refuses_a_hop_that_does_not_fit(fft: int, hop: int) -> None:
    with pytest.raises(ValueError, match="divide"):
        Stft(fft, hop)
