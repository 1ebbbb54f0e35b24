"""Networks fit the audio that they hear, or say in one line what does not."""

from __future__ import annotations

import pytest
import torch

from data.errors import InputError
from timbre.commands import CONFIGS, compose
from timbre.config import RunConfig, parse
from timbre.networks import Networks
from vocoder.generator import build_vocoder

VOCODERS = [path.stem for path in sorted((CONFIGS / "model" / "vocoder").glob("*.yaml"))]
AUDIO = [path.stem for path in sorted((CONFIGS / "audio").glob("*.yaml"))]


def run_config(*overrides: str) -> RunConfig:
    return parse(RunConfig, compose("train", list(overrides)))


@pytest.mark.parametrize("vocoder", VOCODERS)
@pytest.mark.parametrize("audio", AUDIO)
def test_every_vocoder_makes_the_samples_of_every_geometry(
    audio: str, vocoder: str, tiny: list[str]
) -> None:
    config = run_config(*tiny, f"audio={audio}", f"model/vocoder={vocoder}")
    networks = Networks(config.model, config.audio)
    mel = torch.zeros(1, config.audio.mel_channels, 4)
    assert networks.vocoder(mel).shape == (1, 4 * config.audio.hop_samples)


def test_the_base_size_speaks_at_44_khz() -> None:
    config = run_config("audio=44khz", "model=base")
    vocoder = build_vocoder(config.model.vocoder, config.audio)
    assert vocoder(torch.zeros(1, 128, 2)).shape == (1, 2 * 512)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("audio.hop_samples=128", r"^model: hifigan.*known for hops of 256 and 512.* is 128: give"),
        ("model.vocoder.hifigan.upsample_rates=[8,8]", "make 64 samples of a frame, but.* is 256"),
        ("model.tokenizer.kernel=4", "^model: .*odd kernel, got 4"),
    ],
)
def test_what_cannot_fit_is_refused(override: str, message: str, tiny: list[str]) -> None:
    config = run_config(*tiny, "model/vocoder=hifigan_v3", override)
    with pytest.raises(InputError, match=message):
        Networks(config.model, config.audio)
