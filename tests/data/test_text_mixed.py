"""Sentences in several languages: every word is read in its own, and none is lost."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.text.frontend import Phonemes, TextFrontend, phonemize
from data.text.optional import INSTALL
from data.text.scripts import language_runs, script_of, scripts_of
from data.text.symbols import LANGUAGES, MARK_SIZES, SILENCE_ID

# SudachiPy, which pyopenjtalk-plus uses, warns of its own function.
pytestmark = pytest.mark.filterwarnings("ignore:Dictionary.create:DeprecationWarning")

LANGUAGE = 3


def languages(phonemes: Phonemes) -> list[tuple[str, str]]:
    """Each word with the language that all its phonemes are marked with."""
    pairs = []
    for word, (start, end) in zip(phonemes.words, phonemes.word_spans, strict=True):
        (mark,) = set(phonemes.marks[start:end, LANGUAGE].tolist())
        pairs.append((word, LANGUAGES[mark]))
    return pairs


def runs(text: str, language: str) -> list[tuple[str, str]]:
    return list(language_runs(text, language))


def test_scripts():
    expected = {"a": "LATIN", "я": "CYRILLIC", "中": "CJK", "々": "CJK", "ー": "KATAKANA"}
    assert {c: script_of(c) for c in expected} == expected
    assert script_of("1") == script_of("-") == script_of("\u0301") == ""
    assert scripts_of("en-gb") == {"LATIN"}
    assert scripts_of("ja") == {"CJK", "HIRAGANA", "KATAKANA"}
    assert scripts_of("sr") == {"CYRILLIC", "LATIN"}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("zh", "我用iPhone 15", [("zh", "我用"), ("en", "iPhone"), ("zh", " 15")]),
        ("zh", "看Mr. O'Neil-Li。", [("zh", "看"), ("en", "Mr. O'Neil-Li"), ("zh", "。")]),
        ("ja", "東京のTシャツ", [("ja", "東京の"), ("en", "T"), ("ja", "シャツ")]),
        (
            "ru",
            "Это Windows и e-mail.",
            [("ru", "Это "), ("en", "Windows"), ("ru", " и "), ("en", "e-mail"), ("ru", ".")],
        ),
        ("en", "in 東京の駅", [("en", "in "), ("ja", "東京の駅")]),
        ("en", "in 北京", [("en", "in "), ("zh", "北京")]),
        ("en", "π and λόγος", [("en", "π and "), ("el", "λόγος")]),
        ("el", "λόγος π", [("el", "λόγος π")]),
        ("sr", "Добар dan", [("sr", "Добар dan")]),
        ("en", "e\u0301 5", [("en", "e\u0301 5")]),
        ("de", "", []),
    ],
)
def test_runs(language: str, text: str, expected: list[tuple[str, str]]):
    assert runs(text, language) == expected


@settings(deadline=None)
@given(st.text(max_size=40), st.sampled_from(["en", "zh", "ja", "ru", "sr"]))
def test_runs_join_to_the_text(text: str, language: str):
    pieces = runs(text, language)
    assert "".join(run for _, run in pieces) == text
    assert all(run for _, run in pieces)


def test_russian_with_latin_words():
    phonemes = phonemize("Я купил iPhone и пиво.", "ru")
    assert languages(phonemes) == [
        ("Я", "ru"),
        ("купил", "ru"),
        ("iPhone", "en"),
        ("и", "ru"),
        ("пиво", "ru"),
    ]
    iphone = phonemes.word_spans[2]
    english = phonemize("iPhone", "en")
    assert phonemes.ids[slice(*iphone)].tolist() == english.ids[1:-1].tolist()


def test_chinese_with_english_words():
    pytest.importorskip("pypinyin")
    assert languages(phonemize("我用iPhone 15看Mr. Wang的AT&T视频。", "zh")) == [
        ("我用", "zh"),
        ("iPhone", "en"),
        ("十五", "zh"),
        ("看", "zh"),
        ("Mister", "en"),
        ("Wang", "en"),
        ("的", "zh"),
        ("AT", "en"),
        ("and", "en"),
        ("T", "en"),
        ("视频", "zh"),
    ]


def test_japanese_with_english_words():
    pytest.importorskip("pyopenjtalk")
    assert languages(phonemize("彼はHelloと言った。", "ja")) == [
        ("彼", "ja"),
        ("は", "ja"),
        ("Hello", "en"),
        ("と", "ja"),
        ("言っ", "ja"),
        ("た", "ja"),
    ]


def test_characters_that_are_not_japanese_are_read_in_mandarin():
    pytest.importorskip("pypinyin")
    pytest.importorskip("pyopenjtalk")
    assert languages(phonemize("犬と银行", "ja"))[-1] == ("银行", "zh")


def test_english_with_chinese_and_russian_words():
    pytest.importorskip("pypinyin")
    assert languages(phonemize("Say 你好, or привет!", "en")) == [
        ("Say", "en"),
        ("你好", "zh"),
        ("or", "en"),
        ("привет", "ru"),
    ]


@pytest.mark.parametrize(
    ("language", "text", "module", "named"),
    [
        ("zh", "你好", "pypinyin", "text in Chinese needs pypinyin"),
        ("zh", "你好", "jieba", "text in Chinese needs jieba"),
        ("ja", "犬", "pyopenjtalk", "text in Japanese needs pyopenjtalk"),
        ("en", "say 你好", "jieba", "text in Chinese needs jieba"),
    ],
)
def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, language: str, text: str, module: str, named: str
):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(InputError, match=named) as caught:
        phonemize(text, language)
    assert INSTALL in str(caught.value)


def test_other_languages_do_not_need_them(monkeypatch: pytest.MonkeyPatch):
    for module in ("pypinyin", "jieba", "pyopenjtalk"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    assert phonemize("dobrý den", "cs").words == ["dobrý", "den"]


@pytest.fixture(scope="module")
def front_ends() -> dict[str, TextFrontend]:
    for module in ("pypinyin", "jieba", "pyopenjtalk"):
        pytest.importorskip(module)
    return {language: TextFrontend(language) for language in ("en", "zh", "ja", "ru")}


ANY = st.characters(exclude_categories=())
LETTERS = st.sampled_from(
    "abcXYZéяжЩΩ中国你行了ひらカタ한글नमعשก１5%-.,:'’ ー々〇\u0301\u200d😀$¥°&@"
)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(alphabet=st.one_of(ANY, LETTERS), max_size=40),
    language=st.sampled_from(["en", "zh", "ja", "ru"]),
)
def test_any_unicode_is_spoken_or_refused(
    front_ends: dict[str, TextFrontend], text: str, language: str
):
    try:
        phonemes = front_ends[language](text)
    except InputError:
        return
    assert phonemes.ids[0] == phonemes.ids[-1] == SILENCE_ID
    assert (phonemes.marks.max(axis=0) < list(MARK_SIZES.values())).all()
    assert len(phonemes.words) == len(phonemes.word_spans) > 0
    assert all(end > start for start, end in phonemes.word_spans)


WORDS = {
    "en": ["hello", "world", "quick", "strength", "zebra"],
    "zh": ["你好", "银行", "重庆", "女儿", "天气"],
    "ja": ["ひらがな", "カタカナ", "さくら", "ラーメン"],
    "ru": ["привет", "съешь", "ёлка", "жизнь"],
}
ALL_WORDS = [word for words in WORDS.values() for word in words]


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(ALL_WORDS), min_size=1, max_size=8),
    language=st.sampled_from(sorted(WORDS)),
    separator=st.sampled_from([" ", ", ", "! "]),
)
def test_no_word_is_lost_silently(
    front_ends: dict[str, TextFrontend], words: list[str], language: str, separator: str
):
    phonemes = front_ends[language](separator.join(words))
    assert "".join(phonemes.words) == "".join(words)


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.one_of(ANY, LETTERS), min_size=1, max_size=20))
def test_letters_are_spoken_or_logged(front_ends: dict[str, TextFrontend], text: str):
    """What has no sound is named in the log, so that nobody wonders where it is."""
    heard: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    collector = Collector()
    logging.getLogger("data.text").addHandler(collector)
    try:
        phonemes = front_ends["zh"](text)
    except InputError:
        return
    finally:
        logging.getLogger("data.text").removeHandler(collector)
    spoken = "".join(phonemes.words) + "".join(heard)
    for character in text:
        if "\u4e00" <= character <= "\u9fa5":
            assert character in spoken
