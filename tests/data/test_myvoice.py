"""The bundled voice is complete, clean, and its evaluation set is apart from its training set."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from data import audio
from data.manifest import Utterance, read_manifest
from data.text.frontend import TextFrontend

ROOT = Path(__file__).parents[2]
VOICE = ROOT / "assets" / "myvoice"


@pytest.fixture(scope="module")
def voice() -> list[Utterance]:
    return read_manifest(VOICE / "manifest.jsonl")


@pytest.fixture(scope="module")
def heldout() -> list[Utterance]:
    return read_manifest(VOICE / "heldout.jsonl")


@pytest.fixture(scope="module")
def phonemes(voice: list[Utterance], heldout: list[Utterance]) -> dict[str, list[int]]:
    """Phonemes of every clip, by its id."""
    front_end = TextFrontend("en")
    return {utterance.id: front_end(utterance.text).ids.tolist() for utterance in voice + heldout}


def sentences(utterances: list[Utterance]) -> list[str]:
    found = (
        re.sub(r"[^a-z0-9' ]", "", part).strip()
        for utterance in utterances
        for part in re.split(r"[.?!]", utterance.text.lower())
    )
    return [sentence for sentence in found if sentence]


def runs_of_words(utterances: list[Utterance], length: int) -> set[tuple[str, ...]]:
    texts = [re.findall(r"[a-z0-9']+", utterance.text.lower()) for utterance in utterances]
    return {
        tuple(words[start : start + length])
        for words in texts
        for start in range(len(words) - length + 1)
    }


def test_sizes_and_splits(voice: list[Utterance], heldout: list[Utterance]):
    train = [utterance for utterance in voice if utterance.split == "train"]
    assert (len(voice), len(train), len(heldout)) == (25, 21, 12)
    assert sum(utterance.seconds for utterance in train) >= 75
    assert 90 <= sum(utterance.seconds for utterance in voice) <= 150
    assert {utterance.split for utterance in heldout} == {"validation"}


def test_one_voice_under_one_licence(voice: list[Utterance], heldout: list[Utterance]):
    everything = voice + heldout
    assert {utterance.speaker for utterance in everything} == {"myvoice"}
    assert {utterance.language for utterance in everything} == {"en"}
    assert {utterance.licence for utterance in everything} == {"CC-BY-SA-3.0"}
    attribution = (VOICE / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Allison Smith" in attribution
    assert "creativecommons.org/licenses/by-sa/3.0" in attribution
    assert "ShareAlike" in (VOICE / "LICENSE").read_text(encoding="utf-8")


def test_nothing_of_the_evaluation_is_trained_on(voice: list[Utterance], heldout: list[Utterance]):
    every = sentences(voice + heldout)
    assert len(set(every)) == len(every)
    assert not {u.audio for u in voice} & {u.audio for u in heldout}
    assert not runs_of_words(voice, 4) & runs_of_words(heldout, 4)
    training_samples = {audio.read(u.audio, 24000).tobytes() for u in voice}
    assert not training_samples & {audio.read(u.audio, 24000).tobytes() for u in heldout}


def test_audio_is_as_the_manifest_says(voice: list[Utterance], heldout: list[Utterance]):
    for utterance in voice + heldout:
        info = soundfile.info(utterance.audio)
        assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)
        assert info.samplerate == 24000
        assert info.frames / 24000 == pytest.approx(utterance.seconds, abs=1e-3)
        assert 3.0 <= utterance.seconds <= 12.0
        samples = audio.read(utterance.audio, 24000)
        assert 0.5 < np.abs(samples).max() < 0.99  # speech at full level, not clipped
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        assert loud[0] < 0.5 * 24000
        assert len(samples) - loud[-1] < 0.5 * 24000


def test_no_file_is_left_over(voice: list[Utterance], heldout: list[Utterance]):
    listed = {utterance.audio for utterance in voice + heldout}
    assert {path for path in VOICE.rglob("*.flac")} == listed


def test_speaking_rate_fits_the_text(
    voice: list[Utterance], heldout: list[Utterance], phonemes: dict[str, list[int]]
):
    """A transcript that misses or adds words shows as an odd rate."""
    for utterance in voice + heldout:
        rate = len(phonemes[utterance.id]) / utterance.seconds
        assert 8 < rate < 20, f"{utterance.id}: {rate:.1f} phonemes a second"


def test_phoneme_coverage(
    voice: list[Utterance], heldout: list[Utterance], phonemes: dict[str, list[int]]
):
    train = [phonemes[utterance.id] for utterance in voice if utterance.split == "train"]
    evaluated = [phonemes[utterance.id] for utterance in heldout]
    heard = {index for row in train for index in row}
    assert len(heard) >= 40
    assert len({pair for row in train for pair in pairwise(row)}) >= 350
    assert len({index for row in evaluated for index in row} - heard) <= 2


def test_config_points_to_it():
    config = OmegaConf.load(ROOT / "configs" / "data" / "myvoice.yaml")
    assert (config.name, config.language) == ("myvoice", "en")
    assert (ROOT / config.manifest).samefile(VOICE / "manifest.jsonl")
    assert (ROOT / config.heldout).samefile(VOICE / "heldout.jsonl")
