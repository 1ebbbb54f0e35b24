"""Synthetic voices: buzzes of a known pitch, with a sentence each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.manifest import Utterance, write_manifest

SAMPLE_RATE_HZ = 24000


def buzz(hz: float, seconds: float, seed: int = 0) -> np.ndarray:
    """A harmonic tone of 80 % of the length between two silences, with a little noise."""
    time = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 20))
    voiced = (time > 0.1 * seconds) & (time < 0.9 * seconds)
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.1 * tone * voiced + 1e-4 * noise).astype(np.float32)


@pytest.fixture
def make_voice(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest: `clips[speaker]` utterances of 0.6 to 1.4 s, the last is validation."""

    def make(name: str, clips: dict[str, int], language: str = "en") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        utterances = []
        for voice, (speaker, count) in enumerate(sorted(clips.items())):
            for number in range(count):
                id_ = f"{speaker}-{number}"
                seconds = 0.6 + 0.8 * ((number * 7 + voice) % 10) / 10
                audio = buzz(120 + 40 * voice + 5 * number, seconds, seed=number)
                soundfile.write(folder / f"{id_}.wav", audio, SAMPLE_RATE_HZ, subtype="PCM_16")
                last = number == count - 1 and count > 1
                utterances.append(
                    Utterance(
                        id=id_,
                        audio=folder / f"{id_}.wav",
                        text=f"This is sentence {number}.",
                        speaker=speaker,
                        language=language,
                        seconds=seconds,
                        split="validation" if last else "train",
                    )
                )
        write_manifest(folder / "manifest.jsonl", utterances)
        return folder / "manifest.jsonl"

    return make
