import numpy as np
import pytest

from data.corpus.conditioning import UnusableClip, clipped_share, condition, trim
from data.corpus.config import ConditionConfig, TeacherConfig
from data.corpus.effects import (
    Equalizer,
    change_rate,
    equalize,
    random_equalizer,
    warp_formants,
)
from data.corpus.voices import pseudo_voices, render

RATE_HZ = 24_000
FLAT = Equalizer(0.0, (), (), ())


def vowel(pitch_hz=120.0, formant_hz=1000.0, seconds=1.0):
    """Harmonics of `pitch_hz` under one resonance."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    audio = np.zeros_like(time)
    for harmonic in np.arange(pitch_hz, 8000, pitch_hz):
        gain = np.exp(-0.5 * ((harmonic - formant_hz) / 250) ** 2) + 0.003
        audio += gain * np.cos(2 * np.pi * harmonic * time + harmonic)
    return (0.2 * audio / np.abs(audio).max()).astype(np.float32)


def spectrum(audio):
    magnitude = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return np.fft.rfftfreq(len(audio), 1 / RATE_HZ), magnitude


def formant(audio):
    frequency, magnitude = spectrum(audio)
    return (frequency * magnitude**2).sum() / (magnitude**2).sum()


def pitch(audio):
    auto = np.correlate(audio[:4800], audio[:4800], "full")[4800 - 1 :]
    low, high = RATE_HZ // 400, RATE_HZ // 60
    return RATE_HZ / (low + np.argmax(auto[low:high]))


@pytest.mark.parametrize("ratio", [0.85, 1.2])
def test_warped_formants_move_and_the_pitch_stays(ratio):
    audio = vowel()
    warped = warp_formants(audio, ratio, RATE_HZ)
    assert len(warped) == len(audio)
    assert pitch(warped) == pytest.approx(pitch(audio), rel=0.01)
    assert formant(warped) / formant(audio) == pytest.approx(ratio, rel=0.06)


def test_no_warp_changes_nothing():
    audio = vowel()
    assert np.array_equal(warp_formants(audio, 1.0, RATE_HZ), audio)
    almost = warp_formants(audio, 1.0 + 1e-9, RATE_HZ)
    assert np.abs(almost - audio).max() < 1e-5


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_rate_moves_pitch_formants_and_length_together(rate):
    audio = vowel()
    fast = change_rate(audio, rate, RATE_HZ, RATE_HZ)
    assert len(fast) == pytest.approx(len(audio) / rate, abs=2)
    assert pitch(fast) / pitch(audio) == pytest.approx(rate, rel=0.02)
    assert formant(fast) / formant(audio) == pytest.approx(rate, rel=0.03)


def test_flat_equalizer_changes_nothing():
    audio = vowel()
    assert np.abs(equalize(audio, FLAT, RATE_HZ) - audio).max() < 1e-4


def test_equalizer_applies_its_curve_without_delay():
    equalizer = Equalizer(0.0, (1000.0,), (0.5,), (6.0,), cutoff_hz=7000.0)
    impulse = np.zeros(8192, np.float32)
    impulse[4096] = 1.0
    response = equalize(impulse, equalizer, RATE_HZ)
    assert np.argmax(np.abs(response)) == 4096
    frequency = np.fft.rfftfreq(len(response), 1 / RATE_HZ)
    gain = 20 * np.log10(np.abs(np.fft.rfft(response)) + 1e-9)
    assert gain[np.argmin(np.abs(frequency - 1000))] == pytest.approx(6.0, abs=0.5)
    assert gain[np.argmin(np.abs(frequency - 5500))] == pytest.approx(0.0, abs=0.5)
    assert gain[frequency > 7500].max() < -50


def test_random_equalizers_differ_and_repeat_with_the_seed():
    draw = [random_equalizer(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    frequency = np.linspace(20, 12_000, 500)
    assert np.abs(draw[2].gain_db(frequency)).max() <= 12.0
    assert np.ptp(draw[2].gain_db(frequency)) > 2.0


def test_voices_differ_repeat_and_stay_in_range():
    config = TeacherConfig("t", "b", voices=8, minutes=1.0, pitch_low=0.7, pitch_high=1.3)
    config_narrow = TeacherConfig("t", "b", voices=8, minutes=1.0, narrow_share=0.25)
    voices = pseudo_voices(config, seed=3)
    assert voices == pseudo_voices(config, seed=3)
    assert voices != pseudo_voices(config, seed=4)
    pitches = [voice.pitch for voice in voices]
    assert pitches == sorted(pitches)
    assert len(set(pitches)) == 8
    assert 0.7 <= min(pitches) < 0.78
    assert 1.2 < max(pitches) <= 1.3
    assert len({voice.recipe for voice in voices}) == 8
    assert all(0.75 < voice.pitch * voice.formants < 1.31 for voice in voices)
    assert sum(v.equalizer.cutoff_hz > 0 for v in pseudo_voices(config_narrow, seed=3)) == 2


def test_synthesisers_are_not_hurried_beyond_their_limit():
    config = TeacherConfig(
        "t", "b", voices=9, minutes=1.0, pitch_low=0.6, pitch_high=1.2, speed_high=1.2
    )
    speeds = [voice.pace / voice.pitch for voice in pseudo_voices(config, seed=3)]
    assert max(speeds) == pytest.approx(1.2, abs=0.01)
    assert min(speeds) < 1.1


def test_pitch_of_a_rendered_voice_is_the_voices_and_its_pace_too():
    class Hummer:
        sample_rate_hz = 16_000
        licence = ""

        def speak(self, text, pace, seed):
            time = np.arange(int(16_000 / pace)) / 16_000
            return np.sin(2 * np.pi * 200 * time).astype(np.float32)

    config = TeacherConfig("t", "b", voices=4, minutes=1.0, pitch_low=0.7, pitch_high=1.3)
    for voice in pseudo_voices(config, seed=3):
        audio = render(voice, Hummer(), "text", 0, RATE_HZ)
        assert pitch(audio[2400:]) == pytest.approx(200 * voice.pitch, rel=0.02)
        assert len(audio) / RATE_HZ == pytest.approx(1 / voice.pace, rel=0.01)


def padded(before, after, noise=0.0, seconds=2.0):
    quiet = [np.zeros(int(s * RATE_HZ), np.float32) for s in (before, after)]
    audio = np.concatenate([quiet[0], vowel(seconds=seconds), quiet[1]])
    return audio + np.random.default_rng(0).normal(0, noise, len(audio)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_silence_is_trimmed_to_the_margin(noise):
    config = ConditionConfig()
    kept = trim(padded(0.7, 0.5, noise), config)
    assert len(kept) / RATE_HZ == pytest.approx(2.0 + 2 * config.silence_seconds, abs=0.03)


def test_short_edges_are_left_alone():
    audio = padded(0.05, 0.05)
    assert len(trim(audio, ConditionConfig())) == len(audio)


@pytest.mark.parametrize("gain", [0.05, 1.0, 4.0])
def test_loudness_does_not_depend_on_the_recording_level(gain):
    import pyloudnorm

    config = ConditionConfig()
    audio = condition(padded(0.3, 0.3) * np.float32(gain), config)
    loudness = pyloudnorm.Meter(RATE_HZ).integrated_loudness(audio)
    assert loudness == pytest.approx(config.loudness_lufs, abs=0.1)


def test_peaks_are_never_clipped():
    click = padded(0.1, 0.1) * np.float32(0.05)
    click[30_000] = 0.9
    config = ConditionConfig()
    audio = condition(click, config)
    assert np.abs(audio).max() == pytest.approx(config.peak, abs=1e-3)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(48_000, np.float32), "silent"),
        (np.zeros(0, np.float32), "silent"),
        (padded(0.1, 0.1, seconds=0.4), "too short"),
        (padded(0.1, 0.1, seconds=16.0), "too long"),
        (np.clip(padded(0.1, 0.1), -0.05, 0.05), "clipped"),
    ],
)
def test_unusable_clips_are_refused(audio, reason):
    with pytest.raises(UnusableClip, match=reason):
        condition(audio, ConditionConfig())


def test_clean_speech_counts_as_unclipped():
    assert clipped_share(vowel()) == 0.0
