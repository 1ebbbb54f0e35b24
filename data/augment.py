"""Augmentation of mels: what a speaker encoder should not listen to, and other voices."""

from dataclasses import dataclass

import librosa
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.mel import AudioConfig

_NEPERS_PER_DB = float(np.log(10.0) / 20.0)
_WARP_KNEE = 0.8  # of the highest frequency; above it the warp bends back to keep the band's end


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training examples.

    All but the warp change the reference only: the target stays what the model has to say, and as
    long as its stored tokens last.

    Raises:
        ValueError: a value is impossible.
    """

    time_masks: int = 1
    """Stretches of the reference that are hidden (SpecAugment, arXiv 1904.08779)."""
    time_mask_seconds: float = 0.25
    """Longest hidden stretch."""
    frequency_masks: int = 1
    """Ranges of the reference's mel bands that are hidden."""
    frequency_mask_channels: int = 10
    """Widest hidden range, in mel bands."""
    noise_probability: float = 0.0
    """Share of references that get stationary noise."""
    noise_min_snr_db: float = 10.0
    """Loudest noise: signal-to-noise ratio over the whole reference."""
    noise_max_snr_db: float = 30.0
    """Softest noise."""
    tilt_db: float = 0.0
    """Largest random tilt of the reference's spectrum, from the lowest to the highest band."""
    speed: float = 0.0
    """Largest random change of the reference's speed, as a share of 1: 0.1 is up to a tenth faster
    or slower. Its pitch and timbre stay: how fast one speaks is not who speaks."""
    warp: float = 0.0
    """Largest random stretch of the frequency axis of target, pitch and reference together, as a
    share of 1. Makes other voices out of one; they keep their speaker's label, so train a speaker
    classifier without it. Not for training with audio, which would no longer match its mel."""

    def __post_init__(self) -> None:
        for name in ("time_masks", "time_mask_seconds", "frequency_masks", "tilt_db"):
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name} is {getattr(self, name)}; 0 switches it off")
        if self.frequency_mask_channels < 0:
            raise ValueError(
                f"augment.frequency_mask_channels is {self.frequency_mask_channels}; "
                "0 switches it off"
            )
        if not 0 <= self.noise_probability <= 1:
            raise ValueError(
                f"augment.noise_probability is {self.noise_probability}; give a share from 0 to 1"
            )
        if self.noise_min_snr_db > self.noise_max_snr_db:
            raise ValueError(
                f"augment.noise_min_snr_db={self.noise_min_snr_db} is above "
                f"augment.noise_max_snr_db={self.noise_max_snr_db}; swap them"
            )
        if not 0 <= self.speed <= 0.5:
            raise ValueError(
                f"augment.speed is {self.speed}; give a share from 0 to 0.5 (beyond, it smears)"
            )
        if not 0 <= self.warp <= 0.3:
            raise ValueError(
                f"augment.warp is {self.warp}; give a share from 0 to 0.3 (beyond it speech stops "
                "sounding human)"
            )


class Augmenter:
    """Applies an `AugmentConfig` to mels `[mels, frames]` in natural log."""

    def __init__(self, config: AugmentConfig, audio_config: AudioConfig) -> None:
        self.config = config
        self._log_floor = float(np.log(audio_config.floor))
        self._mask_frames = round(config.time_mask_seconds * audio_config.frames_per_second)
        self._top_hz = audio_config.fmax_hz
        self._centres_hz = librosa.mel_frequencies(
            audio_config.mel_channels + 2, fmin=audio_config.fmin_hz, fmax=audio_config.fmax_hz
        )[1:-1]

    def warp_factor(self, rng: np.random.Generator) -> float:
        """Draw the factor that multiplies all frequencies of one example; 1 changes nothing."""
        return float(np.exp(rng.uniform(-1, 1) * np.log1p(self.config.warp)))

    def warp(
        self, mel: Float32[ndarray, "mels frames"], factor: float
    ) -> Float32[ndarray, "mels frames"]:
        """Stretch the frequency axis: what was at f Hz goes to `factor * f`.

        Piecewise linear as in vocal tract length perturbation (Jaitly and Hinton, 2013): above the
        knee the axis bends so that its upper end stays where it is.
        """
        knee = _WARP_KNEE * self._top_hz * min(factor, 1.0)  # after the warp
        source_hz = np.interp(
            self._centres_hz, [0.0, knee, self._top_hz], [0.0, knee / factor, self._top_hz]
        )
        position = np.interp(source_hz, self._centres_hz, np.arange(len(mel)))
        below = np.minimum(position.astype(np.int64), len(mel) - 2)
        share = (position - below).astype(np.float32)[:, None]
        return mel[below] * (1 - share) + mel[below + 1] * share

    def reference(
        self, mel: Float32[ndarray, "mels frames"], rng: np.random.Generator
    ) -> Float32[ndarray, "mels new_frames"]:
        """Return a reference with another speed, noise, tilt and masks as the config says.

        The draws for what is switched off are not made: runs without it stay as they were.
        """
        config = self.config
        if config.speed:
            mel = at_speed(mel, float(np.exp(rng.uniform(-1, 1) * np.log1p(config.speed))))
        if rng.random() < config.noise_probability:
            snr_db = rng.uniform(config.noise_min_snr_db, config.noise_max_snr_db)
            mel = _with_noise(mel, snr_db, rng)
        if config.tilt_db:
            ends = 0.5 * config.tilt_db * _NEPERS_PER_DB * rng.uniform(-1, 1)
            mel = mel + np.linspace(-ends, ends, len(mel), dtype=np.float32)[:, None]
        mel = np.maximum(mel, np.float32(self._log_floor))
        return self._masked(mel, rng)

    def _masked(
        self, mel: Float32[ndarray, "mels frames"], rng: np.random.Generator
    ) -> Float32[ndarray, "mels frames"]:
        """Hide stretches of time and frequency behind the mean value."""
        config = self.config
        masked, mean = mel.copy(), mel.mean()
        channels, frames = mel.shape
        for _ in range(config.time_masks):
            # At most a fifth: short references must keep something to listen to.
            size = rng.integers(0, min(self._mask_frames, frames // 5) + 1)
            start = rng.integers(0, frames - size + 1)
            masked[:, start : start + size] = mean
        for _ in range(config.frequency_masks):
            size = rng.integers(0, min(config.frequency_mask_channels, channels // 5) + 1)
            start = rng.integers(0, channels - size + 1)
            masked[start : start + size] = mean
        return masked


def at_speed(
    mel: Float32[ndarray, "mels frames"], factor: float
) -> Float32[ndarray, "mels new_frames"]:
    """Return a mel `factor` times as fast, linearly interpolated in time.

    The first and the last frame stay; there is at least one frame.
    """
    frames = mel.shape[1]
    position = np.linspace(0.0, frames - 1.0, max(1, round(frames / factor)))
    before = np.minimum(position.astype(np.int64), max(frames - 2, 0))
    after = np.minimum(before + 1, frames - 1)
    share = (position - before).astype(np.float32)
    return mel[:, before] * (1 - share) + mel[:, after] * share


def _with_noise(
    mel: Float32[ndarray, "mels frames"], snr_db: float, rng: np.random.Generator
) -> Float32[ndarray, "mels frames"]:
    """Add noise as if to the waveform: powers add up; magnitudes of noise are Rayleigh."""
    power = np.exp(2.0 * mel)
    level = np.sqrt(power.mean()) * np.exp(-snr_db * _NEPERS_PER_DB)
    slope = np.linspace(0.0, rng.uniform(-3, 0), len(mel))[:, None]  # white to pinkish
    noise = level * np.exp(slope) * rng.rayleigh(np.sqrt(0.5), mel.shape)
    return (0.5 * np.log(power + noise**2)).astype(np.float32)
