from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from data.errors import InputError
from data.loudness import loudness_lufs
from data.preparation.activity import Region
from data.preparation.config import SoundConfig
from data.preparation.decode import decode
from data.preparation.sound import denoise, edges, finish, levels_db, noise_level_db, snr_db
from data.preparation.spectrum import bandwidth_hz, fingerprint, power_spectra

RATE = 24_000


def hiss(seconds: float, level: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (level * noise).astype(np.float32)


def bursts(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes three times a second, like syllables."""
    time = np.arange(round(seconds * RATE)) / RATE
    return hiss(seconds, level, seed) * (np.sin(2 * np.pi * 3 * time) > -0.3)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_any_rate_and_format_becomes_mono_at_the_wanted_rate(
    tmp_path: Path, rate: int, ending: str
) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    path = tmp_path / f"stereo 双声道.{ending}"
    soundfile.write(path, np.stack([tone, tone], axis=1), rate)
    decoded = decode(path, RATE)
    assert decoded.channels == 2
    assert len(decoded.audio) == pytest.approx(RATE, rel=0.06)
    middle = decoded.audio[RATE // 4 : RATE // 2]
    assert np.abs(np.fft.rfft(middle)).argmax() * RATE / len(middle) == pytest.approx(440, abs=5)
    assert not decoded.truncated


def test_silent_channel_is_left_out(tmp_path: Path) -> None:
    sound = hiss(1.0, 0.1)
    path = write(tmp_path / "a.wav", np.stack([sound, np.zeros_like(sound)], axis=1))
    decoded = decode(path, RATE)
    assert decoded.silent_channels == 1
    np.testing.assert_allclose(decoded.audio, sound - sound.mean(), atol=1e-3)


def test_channels_of_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    sound = hiss(1.0, 0.1)
    decoded = decode(write(tmp_path / "a.wav", np.stack([sound, -sound], axis=1)), RATE)
    assert decoded.audio.std() == pytest.approx(0.1, rel=0.05)


def test_dc_is_taken_away(tmp_path: Path) -> None:
    decoded = decode(write(tmp_path / "a.wav", hiss(1.0, 0.1) + 0.2), RATE)
    assert decoded.dc == pytest.approx(0.2, abs=0.01)
    assert abs(decoded.audio.mean()) < 1e-3


def test_truncated_wav_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", hiss(1.0, 0.1))
    path.write_bytes(path.read_bytes()[:-8000])
    assert decode(path, RATE).truncated


def test_clipping_is_counted_and_loudness_alone_is_not(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE) * np.linspace(0.1, 1, RATE)
    loud = decode(write(tmp_path / "loud.wav", 0.99 * tone), RATE)
    clipped = decode(write(tmp_path / "clipped.wav", np.clip(3 * tone, -0.8, 0.8)), RATE)
    assert loud.clipped.sum() / RATE < 1e-3
    assert clipped.clipped.sum() / RATE > 0.2


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "empty"), (b"only words here", "not readable as audio")]
)
def test_what_is_not_audio(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        decode(path, RATE)


def test_silence_is_noticed(tmp_path: Path) -> None:
    assert decode(write(tmp_path / "a.wav", np.zeros(RATE)), RATE).is_silent
    assert not decode(write(tmp_path / "b.wav", hiss(1.0, 0.01)), RATE).is_silent


def test_bandwidth_of_telephone_sound_at_a_high_rate() -> None:
    full = hiss(2.0, 0.1)
    telephone = soxr.resample(soxr.resample(full, RATE, 8000), 8000, RATE)
    assert bandwidth_hz(power_spectra(full, RATE), RATE) > 11_000
    assert 3_500 < bandwidth_hz(power_spectra(telephone, RATE), RATE) < 4_200


@pytest.mark.parametrize("snr", [0.0, 12.0, 30.0])
def test_snr_is_the_ratio_of_speech_to_noise(snr: float) -> None:
    speech = np.pad(bursts(4.0, 0.1), (RATE, RATE))
    noisy = speech + hiss(6.0, 0.1 * 10 ** (-snr / 20), seed=1)
    levels = levels_db(noisy, RATE)
    noise = noise_level_db(levels, [Region(1.0, 5.0)])
    assert snr_db(levels[100:500], noise) == pytest.approx(snr, abs=2.5)


def test_muted_pauses_do_not_hide_noise() -> None:
    noisy = np.pad(bursts(4.0, 0.1) + hiss(4.0, 0.05, seed=1), (RATE, RATE))
    levels = levels_db(noisy, RATE)
    assert snr_db(levels, noise_level_db(levels, [Region(1.0, 5.0)])) < 12


def test_edges_keep_faint_ends_and_a_margin_but_no_neighbours() -> None:
    audio = hiss(4.0, 1e-4)
    audio[RATE : 2 * RATE] += hiss(1.0, 0.1, seed=1)
    audio[2 * RATE : int(2.1 * RATE)] += hiss(0.1, 0.003, seed=2)
    levels = levels_db(audio, RATE)
    place = edges(levels, Region(1.05, 1.9), Region(0.0, 4.0), -80.0, 0.15)
    assert place.start == pytest.approx(0.85, abs=0.02)
    assert place.end == pytest.approx(2.25, abs=0.02)
    tight = edges(levels, Region(1.05, 1.9), Region(0.95, 2.05), -80.0, 0.15)
    assert (tight.start, tight.end) == (0.95, 2.05)


def test_clips_are_finished_at_the_wanted_loudness() -> None:
    clip = finish(bursts(2.0, 0.02), RATE, SoundConfig())
    assert loudness_lufs(clip, RATE) == pytest.approx(-23.0, abs=0.1)
    assert clip[0] == 0.0
    quiet_with_peak = bursts(2.0, 0.001)
    quiet_with_peak[RATE] = 0.9
    assert np.abs(finish(quiet_with_peak, RATE, SoundConfig())).max() <= 0.97 + 1e-6


def test_denoising_lowers_the_noise_and_keeps_the_speech() -> None:
    tone = np.zeros(4 * RATE, dtype=np.float32)
    time = np.arange(2 * RATE) / RATE
    tone[RATE : 3 * RATE] = 0.2 * np.sin(2 * np.pi * 300 * time)
    noisy = tone + hiss(4.0, 0.02, seed=3)
    clean = denoise(noisy, RATE, [Region(1.0, 3.0)])
    assert len(clean) == len(noisy)
    assert clean[: RATE // 2].std() < 0.3 * noisy[: RATE // 2].std()
    assert np.corrcoef(clean[RATE : 3 * RATE], tone[RATE : 3 * RATE])[0, 1] > 0.99


def test_fingerprints_know_a_copy_from_another_take() -> None:
    def picture(audio: np.ndarray) -> np.ndarray:
        return fingerprint(power_spectra(audio, RATE), RATE)

    rng = np.random.default_rng(0)
    first = np.concatenate([hiss(0.2, level, n) for n, level in enumerate(rng.uniform(0, 0.1, 9))])
    other = np.concatenate([hiss(0.2, level, n) for n, level in enumerate(rng.uniform(0, 0.1, 9))])
    copy = 0.5 * first + hiss(len(first) / RATE, 1e-5, seed=99)[: len(first)]
    assert picture(first) @ picture(copy) > 0.995
    assert picture(first) @ picture(other) < 0.95
