import pytest
import torch

from data.mel import AudioConfig, LogMel
from vocoder.excitation import pulse_train, upsample_f0
from vocoder.pitch import PitchConfig, PitchPredictor

AUDIO = AudioConfig()
TINY = PitchConfig(channels=48, layers=2, kernel_frames=3, bins=96)


def tones(batch: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mel and pitch of gliding pulse trains over noise, with unvoiced gaps."""
    generator = torch.Generator().manual_seed(seed)
    ends = 100 * 3 ** torch.rand(batch, 2, 1, generator=generator)
    f0 = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * torch.linspace(0, 1, 40)
    f0[:, 15:22] = 0
    audio = 0.01 * pulse_train(upsample_f0(f0, AUDIO.hop_samples), AUDIO.sample_rate_hz)
    audio = audio + 1e-3 * torch.randn(audio.shape, generator=generator)
    return LogMel(AUDIO)(audio), f0


def test_learns_the_pitch_of_pulse_trains() -> None:
    torch.manual_seed(0)
    network = PitchPredictor(TINY, AUDIO)
    optimizer = torch.optim.AdamW(network.parameters(), lr=6e-3)
    mel, f0 = tones(8, seed=1)
    first = network.loss(mel, f0).item()
    for _ in range(80):
        optimizer.zero_grad()
        loss = network.loss(mel, f0)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * first
    mel, f0 = tones(8, seed=2)
    predicted = network.predict(mel)
    both = (f0 > 0) & (predicted > 0)
    assert ((f0 > 0) == (predicted > 0)).float().mean() > 0.9
    error = (predicted[both] / f0[both]).log().abs()
    assert error.median() < 0.03  # half a semitone


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = PitchPredictor(TINY, AUDIO).eval()
    with torch.no_grad():
        network.voicing.bias.fill_(0.1)
    mel = torch.randn(2, 100, 30) * 2 - 4
    lengths = torch.tensor([30, 17])
    alone = mel[1:, :, :17]
    batch_logits, batch_voicing = network(mel, lengths)
    logits, voicing = network(alone)
    assert torch.allclose(batch_logits[1:, :, :17], logits, atol=1e-4)
    assert torch.allclose(batch_voicing[1:, :17], voicing, atol=1e-4)
    predicted = network.predict(mel, lengths)
    assert torch.allclose(predicted[1:, :17], network.predict(alone), rtol=1e-4)
    assert torch.equal(predicted[1, 17:], torch.zeros(13))
    f0 = torch.full((2, 30), 150.0)
    joined = network.loss(mel[1:], f0[1:], lengths[1:])
    assert torch.allclose(joined, network.loss(alone, f0[1:, :17]), atol=1e-4)


def test_loss_is_finite_without_voiced_frames_and_beyond_the_range() -> None:
    network = PitchPredictor(TINY, AUDIO)
    mel = torch.full((1, 100, 8), -11.5)
    assert network.loss(mel, torch.zeros(1, 8)).isfinite()
    assert network.loss(mel, torch.full((1, 8), 3000.0)).isfinite()


@pytest.mark.parametrize(
    "values", [{"channels": 0}, {"kernel_frames": 4}, {"fmin_hz": 500.0, "fmax_hz": 400.0}]
)
def test_refuses_impossible_sizes(values: dict) -> None:
    with pytest.raises(ValueError, match="pitch"):
        PitchConfig(**values)
