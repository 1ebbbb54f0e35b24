import librosa
import numpy as np
import pytest
import torch

from losses.spectral import MultiResolutionStftLoss, MultiScaleMelLoss

RATE = 24000
SMALL_STFTS = ((256, 64), (64, 16))
SMALL_MELS = ((256, 64, 20), (128, 32, 10))


@pytest.fixture(params=["stft", "mel"])
def loss(request):
    if request.param == "stft":
        return MultiResolutionStftLoss(SMALL_STFTS)
    return MultiScaleMelLoss(RATE, SMALL_MELS)


def noise(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(*shape, generator=generator, dtype=dtype)


def test_equal_audio_has_no_distance_and_other_audio_has(loss):
    audio = noise(2, 1024)
    assert loss(audio, audio).item() == 0
    assert loss(audio, noise(2, 1024, seed=1)).item() > 0.1


def reference_magnitude(audio, fft_samples, hop_samples):
    """Framed by hand: the frame's centre at every hop, zeros outside the audio."""
    padded = np.pad(audio.numpy()[0], fft_samples // 2)
    starts = range(0, len(padded) - fft_samples + 1, hop_samples)
    window = np.hanning(fft_samples + 1)[:-1]
    frames = np.stack([padded[start : start + fft_samples] * window for start in starts])
    return np.abs(np.fft.rfft(frames, axis=1)).T


def test_mel_distance_agrees_with_numpy_and_librosa_filters():
    prediction, target = noise(1, 2048), noise(1, 2048, seed=1)
    filters = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40)

    def log_mel(audio):
        return np.log(np.maximum(filters @ reference_magnitude(audio, 512, 128), 1e-5))

    expected = np.abs(log_mel(prediction) - log_mel(target)).mean()
    ours = MultiScaleMelLoss(RATE, ((512, 128, 40),))(prediction, target)
    assert ours.item() == pytest.approx(expected, rel=1e-4)


def test_stft_distance_agrees_with_numpy():
    prediction, target = noise(1, 2048), noise(1, 2048, seed=1)
    first, second = (reference_magnitude(x, 256, 64) for x in (prediction, target))
    convergence = np.linalg.norm(first - second) / np.linalg.norm(second)
    log_distance = np.abs(np.log(first) - np.log(second)).mean()
    ours = MultiResolutionStftLoss(((256, 64),))(prediction, target)
    assert ours.item() == pytest.approx(convergence + log_distance, rel=1e-3)


def test_the_floor_decides_how_much_silence_counts():
    # Spectral convergence against nearly nothing aside, the logarithms are log 0.1 S and log floor.
    prediction, target = noise(1, 2048), torch.zeros(1, 2048)
    power = reference_magnitude(prediction, 256, 64) ** 2
    for floor in (1e-2, 1e-3, 1e-6):
        magnitude = np.sqrt(power + floor**2)
        convergence = np.linalg.norm(magnitude - floor) / (floor * np.sqrt(magnitude.size))
        expected = convergence + np.log(magnitude / floor).mean()
        ours = MultiResolutionStftLoss(((256, 64),), floor=floor)(prediction, target)
        assert ours.item() == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="floor is 0"):
        MultiResolutionStftLoss(floor=0.0)


def test_padding_changes_nothing(loss):
    prediction, target = noise(1, 1000), noise(1, 1000, seed=1)
    garbage = torch.full((1, 600), torch.nan)
    mask = torch.arange(1600)[None] < 1000
    torch.testing.assert_close(
        loss(torch.cat([prediction, garbage], 1), torch.cat([target, garbage], 1), mask),
        loss(prediction, target),
    )


def test_gradient_by_finite_differences(loss):
    prediction = noise(1, 300, dtype=torch.float64).requires_grad_()
    target = noise(1, 300, seed=1, dtype=torch.float64)
    loss = loss.double()
    (gradient,) = torch.autograd.grad(loss(prediction, target), prediction)
    direction = noise(1, 300, seed=2, dtype=torch.float64)
    step = 1e-7
    with torch.no_grad():
        up = loss(prediction + step * direction, target)
        down = loss(prediction - step * direction, target)
    torch.testing.assert_close(
        (gradient * direction).sum(), (up - down) / (2 * step), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e4])
def test_silence_and_clipping_give_finite_gradients(loss, scale):
    prediction = (scale * noise(1, 512)).requires_grad_()
    for target in (torch.zeros(1, 512), noise(1, 512, seed=1)):
        value = loss(prediction, target)
        (gradient,) = torch.autograd.grad(value, prediction)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


def test_autocast_and_bf16_inputs_are_computed_in_fp32(loss):
    prediction, target = noise(1, 1024).bfloat16(), noise(1, 1024, seed=1).bfloat16()
    expected = loss(prediction.float(), target.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(prediction, target).dtype == torch.float32
        torch.testing.assert_close(loss(prediction, target), expected, rtol=1e-6, atol=1e-6)


def test_windows_and_filters_move_with_the_module_and_are_not_saved():
    loss = MultiScaleMelLoss(RATE, SMALL_MELS)
    assert not loss.state_dict()
    assert len(list(loss.buffers())) == 4


def test_default_scales_have_no_empty_filters():
    loss = MultiScaleMelLoss(RATE)
    for index, (_, _, channels) in enumerate(loss.scales):
        filters = getattr(loss, f"filters_{index}")
        assert (filters.amax(dim=1) > 0).all()
        assert len(filters) >= 0.6 * channels


def test_impossible_resolutions_are_refused():
    with pytest.raises(ValueError, match="hop"):
        MultiResolutionStftLoss(((64, 128),))
    with pytest.raises(ValueError, match="at least one"):
        MultiScaleMelLoss(RATE, ())
