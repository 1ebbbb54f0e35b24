import math

import torch

from vocoder.excitation import pulse_train, upsample_f0

RATE = 24000


def test_pitch_is_interpolated_in_log_frequency_between_voiced_frames() -> None:
    curve = upsample_f0(torch.tensor([[0.0, 100.0, 400.0, 0.0]]), 10)[0]
    assert torch.equal(curve[:10], torch.zeros(10))
    assert torch.equal(curve[30:], torch.zeros(10))
    assert torch.allclose(curve[10:15], torch.full((5,), 100.0))
    assert torch.allclose(curve[25:30], torch.full((5,), 400.0), rtol=1e-5)
    # Between the two centres: a straight line in the logarithm, 200 Hz in the middle.
    steps = curve[15:25].log().diff()
    assert torch.allclose(steps, torch.full((9,), math.log(4) / 10), atol=1e-4)
    assert torch.allclose((curve[19] * curve[20]).sqrt(), torch.tensor(200.0), rtol=1e-4)


def test_pulses_are_the_sum_of_the_harmonics() -> None:
    hz = 220.0
    f0 = torch.full((1, 2400), hz)
    time = torch.arange(1, 2401, dtype=torch.float64) / RATE
    ratio = RATE / 2 / hz - 1
    count = int(ratio)
    phase = 2 * math.pi * hz * time
    expected = sum(torch.cos(k * phase) for k in range(1, count + 1))
    expected = expected + (ratio - count) * torch.cos((count + 1) * phase)
    assert torch.allclose(pulse_train(f0, RATE)[0].double(), expected, atol=5e-3)


def test_nothing_folds_back_above_the_nyquist_frequency() -> None:
    f0 = torch.linspace(300, 700, RATE)[None]
    spectrum = torch.stft(
        pulse_train(f0, RATE)[0], 1024, 256, window=torch.hann_window(1024), return_complex=True
    )
    magnitude = spectrum.abs()[:, 4:-4]
    # Below the fundamental there is nothing that an alias or a click would not have put there.
    assert magnitude[:6].max() < 0.02 * magnitude.max()


def test_unvoiced_is_silent_and_holds_the_phase() -> None:
    f0 = torch.full((1, 600), 200.0)
    gap = torch.cat([f0[:, :301], torch.zeros(1, 100), f0[:, 301:]], 1)
    train, with_gap = pulse_train(f0, RATE), pulse_train(gap, RATE)
    assert torch.equal(with_gap[:, 301:401], torch.zeros(1, 100))
    assert torch.allclose(with_gap[:, 401:], train[:, 301:], atol=1e-2)


def test_start_phase_moves_the_pulses() -> None:
    f0 = torch.full((2, 480), 200.0)  # 120 samples a period
    train = pulse_train(f0, RATE, torch.tensor([0.0, 0.25]))
    assert train[0].argmax() % 120 == 119
    assert train[1].argmax() % 120 == 89
    assert torch.allclose(train[0, 119:], pulse_train(f0, RATE)[0, 119:])


def test_phase_does_not_drift_over_a_minute() -> None:
    f0 = torch.full((1, 60 * RATE), 200.0)
    train = pulse_train(f0, RATE)
    assert torch.allclose(train[:, -120:], train[:, :120], atol=0.02)
