"""Judges: words, phonemes, likeness, sound, pitch and pace, on sounds of a known answer."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from data.audio import read
from data.errors import InputError
from data.manifest import read_manifest
from data.mel import AudioConfig
from data.text.frontend import phonemize
from data.text.symbols import BLANK_ID, SILENCE_ID, SYMBOLS
from data.text.words import WordList
from gpt.tokenizer import SemanticTokenizer, TokenizerConfig
from timbre.judges.clip import Clip, Measure
from timbre.judges.mel_distance import MelDistance, warped_distance
from timbre.judges.optional import NotAvailableError, import_optional
from timbre.judges.phonemes import PhonemeErrors
from timbre.judges.prosody import Pace, Pitch
from timbre.judges.quality import Quality
from timbre.judges.recognizer import Recognizer, TranscribeConfig
from timbre.judges.similarity import Similarity
from timbre.judges.speaker import Resemblyzer
from timbre.judges.spectrum import LongTermSpectrum, closeness

RATE = 24000
HELD_OUT = Path(__file__).parents[2] / "assets" / "myvoice" / "heldout.jsonl"


def tone(hz: float, seconds: float, level: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 12))
    return (level * wave / 2).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def clip(audio: np.ndarray, **more: Any) -> Clip:
    return Clip("clip", audio, RATE, **more)


@pytest.fixture(scope="module")
def recordings() -> list[Clip]:
    rows = sorted(read_manifest(HELD_OUT), key=lambda row: row.seconds)[:3]
    return [Clip(row.id, read(row.audio, RATE), RATE, row.text, recording=row.id) for row in rows]


# --- measures


def test_a_rate_is_weighted_by_what_it_is_a_rate_of() -> None:
    assert Measure([0.5, 0.0], [2.0, 8.0]).mean == pytest.approx(0.1)
    assert Measure([0.5, math.nan], [2.0, 8.0]).mean == 0.5
    assert math.isnan(Measure([math.nan]).mean)
    assert math.isnan(Measure([]).mean)


def test_a_cap_spares_what_cannot_be_measured() -> None:
    capped = Measure([1.6, 0.2, math.nan], [1.0, 3.0, 5.0]).capped(1.0)
    assert capped.values[:2] == [1.0, 0.2]
    assert capped.mean == pytest.approx(0.4)


def test_the_interval_surrounds_the_mean_and_repeats() -> None:
    measure = Measure(np.random.default_rng(1).random(24).tolist())
    low, high = measure.interval
    assert low < measure.mean < high
    assert high - low == pytest.approx(4 * 0.289 / math.sqrt(24), rel=0.4)
    assert measure.interval == (low, high)
    assert Measure([0.3, 0.3, 0.3]).interval == pytest.approx((0.3, 0.3))


# --- words


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("It's 7:30, Mr. Smith!", "its seven thirty mister smith"),
        ("$12.50 for 2 children", "Twelve dollars and fifty cents, for two children."),
        ("Well-known", "well known"),
        ("naïve café", "NAÏVE CAFÉ"),
    ],
)
def test_the_same_words_in_other_writing_are_equal(written: str, heard: str) -> None:
    words = WordList("en")
    assert words(written) == words(heard) != []


def test_other_scripts_keep_their_marks() -> None:
    assert WordList("cs")("Žluťoučký kůň, úpěl!") == ["žluťoučký", "kůň", "úpěl"]
    assert WordList("hi")("नमस्ते दुनिया।") == ["नमस्ते", "दुनिया"]


# --- the recogniser


class Heard:
    """Stands in for faster_whisper: hears what it was told to."""

    texts: tuple[str, ...] = ()
    loaded: tuple[Any, ...] = ()
    languages: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        Heard.loaded, Heard.languages = args, ()
        self.left = list(Heard.texts)

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[list[Any], None]:
        Heard.languages = (*Heard.languages, options["language"])
        assert options["temperature"] == 0.0
        assert len(audio) == 16000
        return [SimpleNamespace(text=f" {part}") for part in self.left.pop(0).split("|")], None


@pytest.fixture
def whisper(monkeypatch: pytest.MonkeyPatch) -> type[Heard]:
    module = ModuleType("faster_whisper")
    module.WhisperModel = Heard  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    return Heard


def test_a_recording_is_heard_in_its_own_language(whisper: type[Heard]) -> None:
    whisper.texts = ("Twenty.", "Dvacet.")
    clips = [clip(quiet(1.0), text="20", language=language) for language in ("", "cs")]
    heard = Recognizer(TranscribeConfig(), "en-us")(clips)
    assert whisper.languages == ("en", "cs")
    assert heard["wer"].values == [0.0, 0.0]


def test_word_errors_are_counted_over_all_words(whisper: type[Heard]) -> None:
    whisper.texts = ("One two|three.", "four five five")
    judge = Recognizer(TranscribeConfig(model="tiny"), "en-us")
    second = quiet(1.0)
    clips = [clip(second, text="1 2 3"), clip(second, text="four five"), clip(second)]
    measures = judge(clips)
    assert whisper.loaded == ("tiny",)
    assert whisper.languages == ("en", "en")
    assert measures["wer"].mean == pytest.approx(1 / 5)
    assert measures["wer"].values[:2] == [0.0, 0.5]
    assert math.isnan(measures["wer"].values[2])
    assert measures["wer"].details[1] == "four five five"
    assert measures["cer"].mean == pytest.approx(5 / 22)


def test_a_missing_recogniser_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(NotAvailableError, match="pip install faster-whisper"):
        Recognizer(TranscribeConfig(), "en")


def test_a_folder_without_a_model_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model\.bin there"):
        Recognizer(TranscribeConfig(model=str(tmp_path)), "en")


def test_a_model_that_cannot_be_fetched_is_absent_not_a_crash(
    whisper: type[Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Heard, *args: Any, **options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(whisper, "__init__", fail)
    with pytest.raises(NotAvailableError, match=r"no network.*transcribe\.model=PATH"):
        Recognizer(TranscribeConfig(), "en")


# --- phonemes


def test_phoneme_errors_are_those_of_the_ctc_head(monkeypatch: pytest.MonkeyPatch) -> None:
    phonemes = phonemize("Good morning.", "en")
    symbols = [symbol for symbol in phonemes.ids.tolist() if symbol != SILENCE_ID]
    heard = symbols[:-2] + symbols[-1:]  # one left out

    def encode(self: SemanticTokenizer, mel: torch.Tensor, lengths: torch.Tensor) -> Any:
        path = [part for symbol in heard for part in (symbol, symbol, BLANK_ID)]
        logits = torch.nn.functional.one_hot(torch.tensor([path]), len(SYMBOLS)).float()
        return None, None, logits, torch.tensor([len(path)])

    monkeypatch.setattr(SemanticTokenizer, "encode", encode)
    config = TokenizerConfig(
        len(SYMBOLS), width=16, encoder_layers=1, bottleneck_layers=1, decoder_layers=1
    )
    judge = PhonemeErrors(SemanticTokenizer(config), AudioConfig())
    measure = judge([clip(quiet(1.0), phonemes=phonemes), clip(quiet(1.0))])["phoneme_error"]
    spoken = sum(symbol != SILENCE_ID for symbol in phonemes.ids.tolist())
    assert measure.values[0] == pytest.approx((spoken - len(heard)) / spoken)
    assert math.isnan(measure.values[1])


# --- likeness


def test_a_recording_is_not_compared_with_itself() -> None:
    vectors = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.0, 2.0]}
    recordings = [Clip(name, quiet(0.1), RATE, recording=name) for name in vectors]
    judge = Similarity("likeness", lambda c: np.array(vectors[c.name]), recordings)
    values = judge([*recordings, replace(recordings[0], recording="")])["likeness"].values
    assert values == pytest.approx([0.0, 2 / math.sqrt(5), math.sqrt(0.5), 1 / math.sqrt(10)])


def test_a_speaker_is_compared_with_his_own_recordings() -> None:
    vectors = {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    known = [Clip(n, quiet(0.1), RATE, recording=n, speaker=n) for n in vectors]
    judge = Similarity("likeness", lambda c: np.array(vectors[c.name]), known)
    spoken = Clip("b", quiet(0.1), RATE, speaker="a")
    assert judge([spoken])["likeness"].values == [0.0]
    assert math.isnan(judge([replace(spoken, speaker="nobody")])["likeness"].values[0])


def test_spectra_of_one_voice_are_closer(recordings: list[Clip]) -> None:
    judge = Similarity("likeness", LongTermSpectrum(AudioConfig()), recordings, closeness)
    own = judge(recordings)["likeness"].values
    louder = replace(recordings[0], audio=0.5 * recordings[0].audio)
    assert judge([louder])["likeness"].values[0] == pytest.approx(own[0], abs=0.02)
    assert min(own) > 0.6
    assert judge([clip(tone(220, 2.0))])["likeness"].values[0] < min(own) - 0.2


def test_resemblyzer_knows_a_voice_from_a_chord(recordings: list[Clip]) -> None:
    pytest.importorskip("resemblyzer", reason="optional judge")
    judge = Similarity("similarity", Resemblyzer(), recordings)
    own = judge(recordings)["similarity"].mean
    other = judge([clip(tone(220, 2.0)), clip(quiet(1.0))])["similarity"].values
    assert own > 0.75
    assert max(other) < own - 0.15


# --- sound


def test_dnsmos_hears_noise(recordings: list[Clip]) -> None:
    pytest.importorskip("speechmos.dnsmos", reason="optional judge")
    clean = recordings[-1]
    noise = np.random.default_rng(0).standard_normal(len(clean.audio)).astype(np.float32)
    noisy = replace(clean, audio=np.clip(clean.audio + 0.05 * noise, -1, 1))
    good, bad = Quality()([clean, noisy])["dnsmos"].values
    assert 2.5 < good < 5
    assert bad < good - 0.5


def test_missing_packages_name_their_command() -> None:
    with pytest.raises(NotAvailableError, match=r"not installed .*: pip install nothing"):
        import_optional("no_such_package_here", "pip install nothing")


# --- pitch and pace


def test_pitch_and_its_range() -> None:
    steps = np.concatenate([tone(200, 1.0), tone(400, 1.0)])
    measures = Pitch(AudioConfig())([clip(tone(200, 1.0)), clip(steps), clip(quiet(1.0))])
    assert measures["f0"].values[0] == pytest.approx(200, rel=0.02)
    assert measures["f0_range"].values[0] < 0.5
    assert measures["f0_range"].values[1] == pytest.approx(12, abs=0.5)
    assert math.isnan(measures["f0"].values[2])


def test_pace_leaves_outer_silence_out() -> None:
    phonemes = phonemize("Good morning.", "en")
    count = sum(symbol != SILENCE_ID for symbol in phonemes.ids.tolist())
    speech = np.concatenate([quiet(0.5), tone(200, 1.0), quiet(0.5)])
    measures = Pace()([clip(speech, phonemes=phonemes), clip(speech), clip(quiet(1.0))])
    assert measures["rate"].values[0] == pytest.approx(count, rel=0.03)
    assert math.isnan(measures["rate"].values[1])
    assert measures["silence"].values == pytest.approx([0.5, 0.5, 1.0], abs=0.02)


# --- mel distance


def test_stretching_in_time_costs_nothing_and_otherness_does() -> None:
    rng = np.random.default_rng(0)
    mel = rng.standard_normal((30, 8))
    slower = mel[np.repeat(np.arange(30), rng.integers(1, 4, 30))]
    assert warped_distance(mel, mel) == 0
    assert warped_distance(mel, slower) == pytest.approx(0, abs=1e-12)
    assert warped_distance(mel, mel + 1) == pytest.approx(1)
    assert warped_distance(mel[:1], mel) == pytest.approx(np.abs(mel - mel[:1]).mean())


def test_mel_distance_compares_clips_of_one_name(recordings: list[Clip]) -> None:
    judge = MelDistance(AudioConfig(), recordings)
    first, second = recordings[:2]
    swapped = replace(first, audio=second.audio)
    measure = judge([first, swapped, replace(first, name="unknown")])["mel_distance"]
    assert measure.values[0] == 0
    assert measure.values[1] > 0.3
    assert math.isnan(measure.values[2])
