"""The mel agrees with librosa, whatever the geometry, batch or precision."""

import librosa
import numpy as np
import pytest
import torch

from data.mel import FRAMES_PER_TOKEN, AudioConfig, LogMel

GEOMETRIES = {
    "24 kHz": AudioConfig(),
    "44.1 kHz": AudioConfig(
        sample_rate_hz=44100, fft_samples=2048, hop_samples=512, mel_channels=128, fmax_hz=22050.0
    ),
    "16 kHz": AudioConfig(
        sample_rate_hz=16000,
        fft_samples=800,
        hop_samples=200,
        mel_channels=40,
        fmin_hz=50.0,
        fmax_hz=7600.0,
    ),
}


def speech_like(seed: int, samples: int, sample_rate_hz: int) -> np.ndarray:
    """A gliding harmonic tone with noise and a silent stretch."""
    generator = np.random.default_rng(seed)
    seconds = np.arange(samples) / sample_rate_hz
    phase = 2 * np.pi * (120 * seconds + 40 * seconds**2)
    audio = sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.1
    audio += generator.normal(0, 0.01, samples)
    audio[samples // 3 : samples // 2] = 0
    return audio.astype(np.float32)


def librosa_log_mel(audio: np.ndarray, config: AudioConfig) -> np.ndarray:
    padding = (config.fft_samples - config.hop_samples) // 2
    mel = librosa.feature.melspectrogram(
        y=np.pad(audio, padding, mode="reflect"),
        sr=config.sample_rate_hz,
        n_fft=config.fft_samples,
        hop_length=config.hop_samples,
        center=False,
        power=1.0,
        n_mels=config.mel_channels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
    )
    return np.log(np.maximum(mel, config.floor))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_agrees_with_librosa(name: str):
    config = GEOMETRIES[name]
    audio = speech_like(0, config.sample_rate_hz + 77, config.sample_rate_hz)
    # The offset under the root lifts digital silence; librosa has none, so compare above it.
    audio += np.random.default_rng(1).normal(0, 1e-3, len(audio)).astype(np.float32)
    ours = LogMel(config)(torch.from_numpy(audio)[None])[0].numpy()
    reference = librosa_log_mel(audio, config)
    assert ours.shape == reference.shape == (config.mel_channels, len(audio) // config.hop_samples)
    np.testing.assert_allclose(ours, reference, atol=1e-4)


def test_two_geometries_live_in_one_process():
    first, second = LogMel(GEOMETRIES["24 kHz"]), LogMel(GEOMETRIES["16 kHz"])
    audio = torch.from_numpy(speech_like(2, 24000, 24000))[None]
    before = first(audio)
    second(audio)
    torch.testing.assert_close(first(audio), before, rtol=0, atol=0)
    assert second(audio).shape == (1, 40, 120)


def test_items_of_a_batch_do_not_mix():
    audio = torch.stack([torch.from_numpy(speech_like(seed, 12000, 24000)) for seed in range(3)])
    mel = LogMel(AudioConfig())
    together = mel(audio)
    for index in range(3):
        torch.testing.assert_close(together[index : index + 1], mel(audio[index : index + 1]))


@pytest.mark.parametrize("samples", [385, 512, 1024, 24000, 24001, 24255, 24256])
def test_number_of_frames(samples: int):
    assert LogMel(AudioConfig())(torch.zeros(1, samples)).shape[-1] == samples // 256


def test_too_short_audio_is_refused():
    mel = LogMel(AudioConfig())
    assert mel(torch.zeros(1, mel.min_samples)).shape == (1, 100, 1)
    with pytest.raises(ValueError, match="385 samples are the least"):
        mel(torch.zeros(1, mel.min_samples - 1))


def test_full_precision_under_autocast():
    audio = torch.from_numpy(speech_like(3, 24000, 24000))[None]
    mel = LogMel(AudioConfig())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = mel(audio)
    assert lowered.dtype == torch.float32
    torch.testing.assert_close(lowered, mel(audio), rtol=0, atol=0)


def test_gradient_reaches_the_audio_also_from_silence():
    audio = torch.zeros(2, 4800)
    audio[0] = torch.from_numpy(speech_like(4, 4800, 24000))
    audio.requires_grad_()
    LogMel(AudioConfig())(audio).sum().backward()
    assert torch.isfinite(audio.grad).all()
    assert audio.grad[0].abs().mean() > 0


def test_silence_is_the_floor():
    mel = LogMel(AudioConfig())(torch.zeros(1, 4800))
    # 1e-9 under the root, summed over the band, may stand a little above the floor.
    assert mel.max() < np.log(1e-4)


def test_rates():
    config = AudioConfig()
    assert config.frames_per_second == 93.75
    assert config.tokens_per_second == 93.75 / FRAMES_PER_TOKEN


def test_state_dict_is_empty():
    assert LogMel(AudioConfig()).state_dict() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop_samples": 0}, "hop_samples"),
        ({"hop_samples": 2048}, "must be no longer"),
        ({"hop_samples": 255}, "difference even"),
        ({"fmax_hz": 12001.0}, "half the sample rate"),
        ({"fmin_hz": 12000.0}, "fmin < fmax"),
        ({"floor": 0.0}, "floor"),
        ({"mel_std": 0.0}, "mel_std"),
        ({"mel_channels": -1}, "mel_channels"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        AudioConfig(**change)
