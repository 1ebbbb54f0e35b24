"""Reading aloud: sentences, pauses that are asked for, sentences that are too long, mixtures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data.errors import InputError
from data.text.frontend import TextFrontend
from data.text.symbols import SILENCE_ID, SYMBOLS
from timbre.finishing import SilenceTrimmer, leveled
from timbre.reading import cut, read_aloud
from timbre.timestamps import timing_of, write_timings
from timbre.voices import parse_mixture

RATE = 24000


@pytest.fixture(scope="module")
def frontend() -> TextFrontend:
    return TextFrontend("en", inline=True)


def read(text: str, frontend: TextFrontend) -> list[tuple[str, float]]:
    return [(p.text, round(p.pause_seconds, 3)) for p in read_aloud(text, frontend, 0.4)]


def test_sentences_and_paragraphs_are_parted_by_pauses(frontend: TextFrontend):
    text = "Dr. Smith came at 3.5. Why?\n\nNobody knows. 😀 …"
    assert read(text, frontend) == [
        ("Dr. Smith came at 3.5.", 0.4),
        ("Why?", 0.7),
        ("Nobody knows.", 0.4),
        ("😀 …", 0.0),
    ]


def test_pauses_are_as_long_as_asked(frontend: TextFrontend):
    text = "Wait [pause 300ms] for me [PAUSE 1.5s][pause] please. Now. [pause 2s]"
    assert read(text, frontend) == [
        ("Wait", 0.3),
        ("for me", 1.9),
        ("please.", 0.4),
        ("Now.", 2.0),
    ]


def test_a_text_without_words_is_refused(frontend: TextFrontend):
    for text in ("...", "[pause 1s]", "\n\n"):
        with pytest.raises(InputError, match="holds nothing that can be said"):
            list(read_aloud(text, frontend, 0.4))


@pytest.mark.parametrize("joined", [", ", " "])
def test_long_sentences_are_cut_without_losing_anything(frontend: TextFrontend, joined: str):
    words = joined.join(["seven wide rivers ran north"] * 24)
    whole = frontend(words)
    pieces = [piece.phonemes for piece in read_aloud(words, frontend, 0.4)]
    assert len(pieces) > 2
    assert max(len(piece.ids) for piece in pieces) <= 171
    spoken = [i for piece in pieces for i in piece.ids.tolist() if i != SILENCE_ID]
    assert spoken == [i for i in whole.ids.tolist() if i != SILENCE_ID]
    assert [word for piece in pieces for word in piece.words] == whole.words
    for piece in pieces:
        assert piece.ids[0] == piece.ids[-1] == SILENCE_ID
        assert len(piece.marks) == len(piece.ids)
        first = piece.word_spans[0][0]
        assert piece.marks[first, 1] == 1
        assert "".join(SYMBOLS[i] for i in piece.ids[slice(*piece.word_spans[-1])]) in (
            "nɔːɹθ",
            "ɹæn",
            "ɹɪvɚz",
            "waɪd",
            "sɛvən",
        )


def test_a_single_word_stays_whole(frontend: TextFrontend):
    phonemes = frontend("a" * 40)
    assert sum(len(part.ids) for part in cut(phonemes, 10)) >= len(phonemes.ids)


def test_inline_phonemes_are_said_as_written(frontend: TextFrontend):
    said = frontend("Say /təˈmɑːtoʊ/ and/or 1/2.")
    first, last = said.word_spans[said.words.index("təˈmɑːtoʊ")]
    assert "".join(SYMBOLS[i] for i in said.ids[first:last]) == "təmɑːtoʊ"
    assert said.words[-4:] == ["and", "or", "one", "half"]
    plain = TextFrontend("en")
    assert plain("and/or 1/2").ids.tolist() == frontend("and/or 1/2").ids.tolist()


def test_silence_is_cut_alike_however_the_sound_comes():
    generator = np.random.default_rng(0)
    noise = 0.1 * generator.standard_normal(RATE)
    quiet = np.zeros(RATE // 2)
    audio = np.concatenate([quiet, noise, quiet, noise, quiet]).astype(np.float32)

    def trimmed(size: int) -> np.ndarray:
        trimmer = SilenceTrimmer(RATE)
        parts = [trimmer.push(audio[i : i + size]) for i in range(0, len(audio), size)]
        assert trimmer.cut_samples == pytest.approx(RATE // 2 - 1200, abs=240)
        return np.concatenate([*parts, trimmer.finish()])

    whole = trimmed(len(audio))
    assert len(whole) / RATE == pytest.approx(2.5 + 0.05 + 0.12, abs=0.02)
    for size in (100, 241, 5000):
        np.testing.assert_array_equal(trimmed(size), whole)
    silent = SilenceTrimmer(RATE)
    assert len(np.concatenate([silent.push(quiet), silent.finish()])) == len(quiet)


@pytest.mark.parametrize("gain", [0.6, 1.0, 1.7])
def test_sentences_get_one_loudness(gain: float):
    noise = np.random.default_rng(0).standard_normal(RATE)
    speech = np.concatenate([0.075 * noise, np.zeros(RATE)]).astype(np.float32)
    level = np.sqrt(np.mean(leveled(gain * speech, RATE)[:RATE] ** 2))
    assert level == pytest.approx(0.075, rel=0.02)
    assert np.abs(leveled(8 * speech, RATE)).max() <= 0.975 * 8 * np.abs(speech).max() / 2


def test_words_are_timed_by_their_tokens(frontend: TextFrontend, tmp_path):
    phonemes = frontend("Go home.")
    durations = np.full(len(phonemes.ids), 2)
    timing = timing_of("Go home.", phonemes, durations, 0.05, 0.06, 1.0)
    go, home = timing.words
    assert (go.text, home.text) == ("Go", "home")
    assert go.start == pytest.approx(0.1 - 0.06)
    assert go.end == home.start == pytest.approx(0.04 + 0.1 * 2)
    assert [span.text for span in timing.phonemes] == ["ɡ", "oʊ", "h", "oʊ", "m"]
    later = timing.later(3661.0)
    write_timings(tmp_path / "a.srt", [later])
    assert (tmp_path / "a.srt").read_text("utf-8") == (
        "1\n01:01:01,000 --> 01:01:02,000\nGo home.\n"
    )
    write_timings(tmp_path / "a.json", [timing])
    written = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert written[0]["words"][1]["text"] == "home"


def test_mixtures_are_read():
    assert parse_mixture("ada") == [("ada", 1.0)]
    assert parse_mixture("c++") == [("c++", 1.0)]
    assert parse_mixture("a:0.7 + runs/b/latest:0.3") == [("a", 0.7), ("runs/b/latest", 0.3)]
    assert parse_mixture("a:2+b:2") == [("a", 0.5), ("b", 0.5)]
    for wrong in ("a:1+b", "a:0+b:0"):
        with pytest.raises(InputError, match="with its share"):
            parse_mixture(wrong)
