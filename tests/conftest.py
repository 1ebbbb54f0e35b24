"""What tests of the assembled system share: a synthetic voice and networks small enough for it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.manifest import Utterance, write_manifest

SAMPLE_RATE_HZ = 24000
TEXTS = ("Hello there.", "Good morning.", "One two three.", "How are you?")

TINY = [
    "trainer=cpu",
    "trainer.precision=32-true",
    "logger=csv",
    "run.progress=lines",
    "init=none",
    "model.tokenizer.width=32",
    "model.tokenizer.encoder_layers=1",
    "model.tokenizer.bottleneck_layers=1",
    "model.tokenizer.decoder_layers=1",
    "model.gpt.width=32",
    "model.gpt.heads=2",
    "model.gpt.layers=1",
    "model.gpt.ff_channels=64",
    "model.gpt.phoneme_channels=32",
    "model.gpt.phoneme_layers=1",
    "model.speaker_encoder.channels=16",
    "model.speaker_encoder.layers=1",
    "model.speaker_encoder.attention_channels=8",
    "model.speaker_encoder.flow_blocks=2",
    "model.speaker_encoder.flow_channels=16",
    "model.decoder.channels=32",
    "model.decoder.token_layers=1",
    "model.decoder.half_layers=1",
    "model.decoder.frame_channels=16",
    "model.decoder.flow_channels=16",
    "model.decoder.flow_layers=1",
    "model.vocoder.prior_istft.width=16",
    "model.vocoder.prior_istft.ff_width=16",
    "model.vocoder.prior_istft.layers=1",
    "model.vocoder.prior_istft.consistency_steps=1",
    "model.vocoder.prior_istft.pitch.channels=16",
    "model.vocoder.prior_istft.pitch.layers=1",
    "model.mel_discriminator.channels=4",
    "model.mel_discriminator.layers=2",
    "model.wave_discriminator.periods=[2]",
    "model.wave_discriminator.period_width=2",
    "model.wave_discriminator.fft_samples=[512]",
    "model.wave_discriminator.fft_width=4",
    "objective.mel_segment_frames=32",
    "objective.wave_segment_frames=16",
    "train.tokenizer_updates=2",
    "train.log_updates=1",
    "data.workers=0",
    "data.max_items=4",
]
"""Overrides of configs/train.yaml: every part is there, and a whole update takes 0.1 s."""


def harmonics(hz: float, seconds: float, seed: int) -> np.ndarray:
    """A harmonic tone that swells and fades, with a little noise."""
    time = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 20))
    envelope = np.sin(np.pi * time / seconds) * (1 + 0.5 * np.sin(2 * np.pi * 4 * time))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.1 * tone * envelope + 3e-3 * noise).astype(np.float32)


def write_voice(folder: Path, speakers: dict[str, int], *, equal: bool = False) -> Path:
    """Writes a manifest: so many clips per speaker, the last of each for validation.

    Args:
        folder: Created.
        speakers: Number of clips of each speaker.
        equal: All clips are equally long and say the same, so that every share of a batch weighs
            the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    utterances = []
    for voice, (speaker, count) in enumerate(speakers.items()):
        for number in range(count):
            seconds = 1.28 if equal else 1.1 + 0.2 * ((3 * number + voice) % 5)
            path = folder / f"{speaker}-{number}.wav"
            audio = harmonics(110 + 60 * voice + 7 * number, seconds, seed=10 * voice + number)
            soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="PCM_16")
            utterances.append(
                Utterance(
                    id=path.stem,
                    audio=path,
                    text=TEXTS[0 if equal else number % len(TEXTS)],
                    speaker=speaker,
                    language="en",
                    seconds=seconds,
                    split="validation" if number == count - 1 else "train",
                )
            )
    write_manifest(folder / "manifest.jsonl", utterances)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides that make all networks tiny, on one CPU in fp32."""
    return TINY


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the whole session shares."""
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture(scope="session")
def voice(workshop: Path) -> list[str]:
    """Overrides for a voice of two speakers, nine training clips and two validation clips."""
    return _overrides(write_voice(workshop / "two", {"ada": 6, "bob": 5}), workshop)


@pytest.fixture(scope="session")
def equal_voice(workshop: Path) -> list[str]:
    """Overrides for a voice of one speaker whose five clips are equally long and say the same."""
    return [
        *_overrides(write_voice(workshop / "equal", {"ada": 5}, equal=True), workshop),
        "data.reference_seconds=[1.0,1.0]",
    ]


def _overrides(manifest: Path, workshop: Path) -> list[str]:
    return [
        f"data.manifest={manifest}",
        "data.heldout=",
        f"data.name={manifest.parent.name}",
        f"run.cache={workshop / 'cache'}",
    ]
