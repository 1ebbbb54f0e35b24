"""Texts become phonemes with marks, in every language, and nothing is lost on the way."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from string import ascii_letters

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.text.espeak import EspeakPhonemizer, split_words
from data.text.frontend import Phonemes, TextFrontend, phonemize
from data.text.registry import PHONEMIZERS, create_phonemizer
from data.text.symbols import (
    FIRST_TONE,
    LANGUAGES,
    MARK_SIZES,
    PUNCTUATION,
    SILENCE_ID,
    SYMBOLS,
    is_nucleus,
)
from data.text.word_alignment import label_phones

STRESS, WORD_START, MARK, LANGUAGE = range(4)
SENTENCES = {
    "en-us": "The quick brown fox jumps over the lazy dog, doesn't it?",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy, řekla čtrnáctiletá dívka.",
    "nl": "Het was een schitterende dag; de meeuwen vlogen over de Scheveningse kust.",
    "ro": "Muzicologă în bej vând whisky și tequila, preț fix.",
    "es": "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío.",
    "ru": "Съешь ещё этих мягких французских булок, да выпей же чаю.",
    "fr-fr": "Dès Noël, où un zéphyr haï me vêt de glaçons würmiens, je dîne bien.",
    "el": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, τι κάνεις;",
    "bg": "Ах чудна българска земьо, полюшвай цъфтящи жита.",
    "it": "Quel vituperabile xenofobo zelante assaggia il whisky ed esclama: alleluja!",
    "de": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "pt": "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso.",
    "pl": "Zażółć gęślą jaźń, chrząszcz brzmi w trzcinie.",
    "sv": "Flygande bäckasiner söka hwila på mjuka tuvor, sjuttiosju.",
    "fi": "Törkylempijävongahdus on hyvää yötä, kiitos.",
    "hu": "Árvíztűrő tükörfúrógép, jó reggelt kívánok.",
    "tr": "Pijamalı hasta yağız şoföre çabucak güvendi.",
    "uk": "Щастям б'єш жук їх глицю в фон й ґедзь пріє.",
    "hi": "नमस्ते, आप कैसे हैं? ऋषियों को सताने वाले दुष्ट राक्षसों के राजा।",
    "ar": "صباح الخير، كيف حالك اليوم؟",
    "vi": "Xin chào các bạn, hôm nay trời đẹp quá.",
}


@pytest.fixture(scope="module")
def english() -> TextFrontend:
    return TextFrontend("en")


def spell(phonemes: Phonemes) -> list[str]:
    """Write the phones of each word, stress before the phone that carries it."""
    signs = {0: "", 1: "ˈ", 2: "ˌ"}
    return [
        "".join(
            signs[phonemes.marks[i, STRESS]] + SYMBOLS[phonemes.ids[i]] for i in range(start, end)
        )
        for start, end in phonemes.word_spans
    ]


def assert_consistent(phonemes: Phonemes) -> None:
    """Check what every network relies on."""
    ids, marks = phonemes.ids, phonemes.marks
    assert ids.dtype == marks.dtype == np.int64
    assert marks.shape == (len(ids), 4)
    assert ids[0] == ids[-1] == SILENCE_ID
    assert (marks >= 0).all()
    assert (marks.max(axis=0) < list(MARK_SIZES.values())).all()
    assert (ids > 0).all()
    pause = ids == SILENCE_ID
    assert not (pause[1:] & pause[:-1]).any()
    assert not marks[pause][:, [STRESS, WORD_START]].any()
    assert not marks[~pause][:, MARK].any()
    assert len(phonemes.words) == len(phonemes.word_spans) > 0
    inside = np.zeros(len(ids), dtype=int)
    for start, end in phonemes.word_spans:
        assert end > start
        inside[start:end] += 1
    np.testing.assert_array_equal(inside, ~pause)
    starts = [start for start, _ in phonemes.word_spans]
    assert np.flatnonzero(marks[:, WORD_START]).tolist() == starts


@pytest.mark.parametrize("language", SENTENCES)
def test_every_language_speaks_and_loses_nothing(language: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        phonemes = phonemize(SENTENCES[language], language)
    assert caplog.text == ""
    assert_consistent(phonemes)
    letters = [c.lower() for c in SENTENCES[language] if c.isalnum()]
    assert [c.lower() for w in phonemes.words for c in w if c.isalnum()] == letters
    assert set(phonemes.marks[:, LANGUAGE]) == {LANGUAGES.index(language.split("-")[0])}
    assert phonemes.marks[:, STRESS].any()


def test_english_phones(english: TextFrontend):
    assert spell(english("Hello, world!")) == ["həlˈoʊ", "wˈɜːld"]
    assert spell(english("nationality")) == ["nˌæʃənˈælᵻɾi"]


def test_punctuation_marks(english: TextFrontend):
    phonemes = english('"Yes," she said; no... really? Go!')
    pauses = phonemes.marks[phonemes.ids == SILENCE_ID][:, MARK].tolist()
    names = ["quote", "comma", "colon", "dash", "question", "exclamation"]
    assert pauses == [PUNCTUATION[name] for name in names]


def test_stress_stands_on_nuclei(english: TextFrontend):
    phonemes = english("The congregation understood the extraordinary situation.")
    stressed = phonemes.ids[phonemes.marks[:, STRESS] > 0]
    assert len(stressed) >= 4
    assert all(is_nucleus(SYMBOLS[index]) for index in stressed)


def test_syllabic_consonant_carries_stress():
    phonemes = phonemize("prst", "cs")
    assert [SYMBOLS[i] for i in phonemes.ids[phonemes.marks[:, STRESS] == 1]] == ["r̩"]


def test_tones_stand_in_the_stress_mark():
    phonemes = phonemize("chào bạn, các", "vi")
    tones = phonemes.marks[:, STRESS]
    assert sorted(tones[tones >= FIRST_TONE]) == [4, 5, 8]
    assert "ɜ" not in {SYMBOLS[index] for index in phonemes.ids}


def test_words_run_together_keep_their_borders(english: TextFrontend):
    phonemes = english("one of the best in the house")
    assert phonemes.words == ["one", "of", "the", "best", "in", "the", "house"]
    assert spell(phonemes) == ["wˈʌn", "ʌv", "ðə", "bˈɛst", "ɪn", "ðə", "hˈaʊs"]


def test_neighbours_change_the_sound(english: TextFrontend):
    assert spell(english("the apple"))[0] != spell(english("the pear"))[0]


def test_foreign_words_are_spoken(english: TextFrontend):
    phonemes = english("She wrote 日本 and привет 😀 § to Zoë.")
    assert_consistent(phonemes)
    assert phonemes.words == ["She", "wrote", "日本", "and", "привет", "😀", "§", "to", "Zoë"]


def test_unspoken_signs_part_words(english: TextFrontend):
    assert english("*and*/or_not | ~so~").words == ["and", "or", "not", "so"]
    assert split_words("rock’n’roll 'tis well-known- 3.5, x") == [
        "rock'n'roll",
        "tis",
        "well-known",
        "3.5",
        "x",
    ]


def test_long_texts_and_words(english: TextFrontend):
    phonemes = english("supercalifragilistic " * 200)
    assert_consistent(phonemes)
    assert len(phonemes.words) == 200
    assert_consistent(english("ab" * 2000))
    long_word, part = english("ab" * 200), english("ab" * 20)
    assert len(long_word.ids) - 2 == 10 * (len(part.ids) - 2)


@pytest.mark.parametrize("text", ["", "   \n", "\u200b", "?!...", "—", "* * *", "\x00", "\ud800"])
def test_nothing_speakable_is_an_input_error(english: TextFrontend, text: str):
    with pytest.raises(InputError, match=r"empty|nothing that can be said"):
        english(text)


def test_unknown_language_is_an_input_error():
    with pytest.raises(InputError, match="'xx' has no espeak-ng voice; known are af, "):
        phonemize("x", "xx")


def test_left_out_words_are_logged(caplog: pytest.LogCaptureFixture):
    # The Chuvash voice has no numbers.
    assert phonemize("чӑваш 1927 чӗлхи", "cv").words == ["чӑваш", "чӗлхи"]
    assert "cv has no sound for ['1927']" in caplog.text


def test_accents_and_case_of_languages():
    assert spell(phonemize("tomato", "en-gb")) != spell(phonemize("tomato", "en"))
    assert spell(phonemize("tomato", "EN-us")) == spell(phonemize("tomato", "en"))


def test_registered_languages_have_their_own_phonemizer(monkeypatch: pytest.MonkeyPatch):
    class Whistle(EspeakPhonemizer):
        pass

    monkeypatch.setitem(PHONEMIZERS, "eo", Whistle)
    assert type(create_phonemizer("eo")) is Whistle
    assert type(create_phonemizer("cs")) is EspeakPhonemizer


def test_front_ends_do_not_disturb_each_other(english: TextFrontend):
    before = english("Good morning.")
    TextFrontend("cs")("Dobré ráno.")
    np.testing.assert_array_equal(english("Good morning.").ids, before.ids)


def test_shared_between_threads_and_pickled(english: TextFrontend):
    texts = [f"Sentence number {i} of the {i} we have." for i in range(40)]
    expected = [english(text).ids.tolist() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert [p.ids.tolist() for p in pool.map(english, texts)] == expected
    copy = pickle.loads(pickle.dumps(english))
    assert copy(texts[0]).ids.tolist() == expected[0]


@settings(max_examples=80, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
def test_any_unicode_is_spoken_or_refused(english: TextFrontend, text: str):
    try:
        phonemes = english(text)
    except InputError:
        return
    assert_consistent(phonemes)


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=40),
    language=st.sampled_from(["cs", "ar", "vi"]),
)
def test_any_unicode_in_other_languages(
    other_front_ends: dict[str, TextFrontend], text: str, language: str
):
    try:
        phonemes = other_front_ends[language](text)
    except InputError:
        return
    assert_consistent(phonemes)


@pytest.fixture(scope="module")
def other_front_ends() -> dict[str, TextFrontend]:
    return {language: TextFrontend(language) for language in ("cs", "ar", "vi")}


LATIN_WORD = st.text(alphabet=ascii_letters, min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(LATIN_WORD, min_size=1, max_size=6))
def test_no_plain_word_is_lost(english: TextFrontend, words: list[str]):
    phonemes = english(" ".join(words))
    assert_consistent(phonemes)
    titles = {"Mr": "Mister", "Mrs": "Missis", "Ms": "Miz", "Dr": "Doctor", "Ltd": "Limited"}
    titles |= {"vs": "versus", "Vs": "versus"}
    assert phonemes.words == [titles.get(word, word) for word in words]


def test_alignment_gives_every_phone_a_word():
    assert label_phones(list("ʌvðə"), [["ʌ", "v"], ["ð", "ə"]]) == [0, 0, 1, 1]
    assert label_phones(list("abc"), [["a"], ["x"], ["c"]])[::2] == [0, 2]
    assert label_phones([], [["a"]]) == []
    assert label_phones(["a"], [[], ["b"]]) == [1]


@given(st.lists(st.lists(st.sampled_from("aeptk"), max_size=4), min_size=1, max_size=6))
def test_alignment_of_unchanged_words_finds_their_borders(words: list[list[str]]):
    phones = [phone for word in words for phone in word]
    expected = [index for index, word in enumerate(words) for _ in word]
    assert label_phones(phones, words) == expected
