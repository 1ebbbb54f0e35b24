"""Where a text is cut into sentences."""

import pytest

from data.errors import InputError
from data.text.frontend import TextFrontend
from timbre.reading import read_aloud


def cut(text: str, frontend: TextFrontend) -> list[str]:
    return [piece.text for piece in read_aloud(text, frontend, 0.3)]


@pytest.fixture(scope="module")
def english() -> TextFrontend:
    return TextFrontend("en")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.5 dollars. Cheap.", ["It costs 3.5 dollars.", "Cheap."]),
        ("Ask Dr. Smith, e.g. today. Go.", ["Ask Dr. Smith, e.g. today.", "Go."]),
        ("Cats, dogs, etc. They sleep.", ["Cats, dogs, etc.", "They sleep."]),
        ("Wait... what? ***", ["Wait...", "what?"]),
        ("Well done! 👍 See you! 🎉🎉", ["Well done!", "👍 See you!", "🎉🎉"]),
        ("J. R. Smith spoke. I left.", ["J. R. Smith spoke.", "I left."]),
        ("no end at all", ["no end at all"]),
        ("See example.com or v2.0.1 now.", ["See example.com or v2.0.1 now."]),
    ],
)
def test_english(english: TextFrontend, text: str, sentences: list[str]):
    assert cut(text, english) == sentences


def test_german_abbreviations():
    text = "Ich habe z. B. ca. 3.500 Bücher. Dr. Roth auch."
    sentences = ["Ich habe z. B. ca. 3.500 Bücher.", "Dr. Roth auch."]
    assert cut(text, TextFrontend("de")) == sentences


def test_chinese_sentences_have_no_space_between_them():
    pytest.importorskip("pypinyin")
    assert cut("你好。再见！", TextFrontend("zh")) == ["你好。", "再见！"]


def test_nothing_to_say(english: TextFrontend):
    with pytest.raises(InputError, match="nothing that can be said"):
        cut("... !", english)
