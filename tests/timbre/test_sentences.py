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
        ("Take the No. 5 bus.", ["Take the No. 5 bus."]),
        ("See Fig. 3 and Vol. 2 now.", ["See Fig. 3 and Vol. 2 now."]),
        ("We met at 5:30 pm. Then we left.", ["We met at 5:30 pm.", "Then we left."]),
        ("We met at 5 p.m. Then we left.", ["We met at 5 p.m.", "Then we left."]),
        ("Come at 5 p.m. Monday. Go.", ["Come at 5 p.m. Monday.", "Go."]),
        ("We met on 5 May. Then we left.", ["We met on 5 May.", "Then we left."]),
        ("She has a Ph.D. He has none.", ["She has a Ph.D.", "He has none."]),
        ("The U.S. Army came. I left.", ["The U.S. Army came.", "I left."]),
        ("Turn to p. 5 now. Go.", ["Turn to p. 5 now.", "Go."]),
        ("See example.com or v2.0.1 now.", ["See example.com or v2.0.1 now."]),
    ],
)
def test_english(english: TextFrontend, text: str, sentences: list[str]):
    assert cut(text, english) == sentences


def test_german_abbreviations():
    text = "Ich habe z. B. ca. 3.500 Bücher. Dr. Roth auch."
    sentences = ["Ich habe z. B. ca. 3.500 Bücher.", "Dr. Roth auch."]
    assert cut(text, TextFrontend("de")) == sentences


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("de", ["Am 3. Oktober 1990 kam er.", "Dann ging er."]),
        ("de", ["Es war im 19. Jahrhundert.", "Ich bin 19.", "Dann ging ich."]),
        ("de", ["Es sind 5 Mio. Euro.", "Es sind 5 Mio.", "Das ist viel."]),
        ("cs", ["Je 2. května.", "Je 19. století.", "Pak."]),
        ("pl", ["O godz. 5 rano.", "Tak."]),
        ("es", ["Vive en EE. UU. con ella.", "Vive en EE. UU.", "Es así."]),
        ("ru", ["Это было в 1990 г.", "Потом он уехал.", "Цена 100 руб.", "Это много."]),
        ("fi", ["Se oli 19. vuosisadalla.", "Niin."]),
    ],
)
def test_what_needs_its_right_neighbour(language: str, sentences: list[str]):
    assert cut(" ".join(sentences), TextFrontend(language)) == sentences


def test_chinese_sentences_have_no_space_between_them():
    pytest.importorskip("pypinyin")
    assert cut("你好。再见！", TextFrontend("zh")) == ["你好。", "再见！"]


def test_nothing_to_say(english: TextFrontend):
    with pytest.raises(InputError, match="nothing that can be said"):
        cut("... !", english)
