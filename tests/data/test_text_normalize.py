"""Numbers, abbreviations and signs become words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.text.english import EnglishPhonemizer
from data.text.normalize import NUM2WORDS, normalize_english, spell_numbers
from data.text.punctuation import clean_text, split_phrases, stronger
from data.text.symbols import PUNCTUATION
from data.text.words import WordList


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Mr. and Mrs. Smith met Dr. No.", "Mister and Missis Smith met Doctor No."),
        ("St. John lives on Main St. now", "Saint John lives on Main Street now"),
        ("cats, e.g. lions, etc.", "cats, for example lions, et cetera."),
        ("Cats, etc. They sleep.", "Cats, et cetera. They sleep."),
        ("Cats, etc. are fine.", "Cats, et cetera are fine."),
        ("in the U.S.A. today", "in the U S A today"),
        ("Made in the U.S.A.", "Made in the U S A."),
        ("0", "zero"),
        ("42 apples", "forty two apples"),
        (
            "1,234,567",
            "one million two hundred and thirty four thousand five hundred and sixty seven",
        ),
        ("1,000 people", "one thousand people"),
        ("3.14", "three point one four"),
        (".5", "point five"),
        ("-5 degrees", "minus five degrees"),
        ("007", "zero zero seven"),
        ("5551234567", "five five five one two three four five six seven"),
        ("call 555-1234", "call five five five one two three four"),
        ("the 1st, 2nd, 3rd and 21st", "the first, second, third and twenty first"),
        ("May 3, 2024", "May third, twenty twenty four"),
        ("Dec. 25 or the 4th of July", "December twenty fifth or the fourth of July"),
        ("3 May 2024", "the third of May twenty twenty four"),
        ("on 3/5/2024", "on March fifth, twenty twenty four"),
        ("on 25/12/2024", "on December twenty fifth, twenty twenty four"),
        ("2024-05-03", "May third, twenty twenty four"),
        ("12:30:45", "twelve thirty and forty five seconds"),
        ("$1.5M, £20k", "one point five million dollars, twenty thousand pounds"),
        ("-$5", "minus five dollars"),
        ("5 €", "five euros"),
        ("-5°C", "minus five degrees Celsius"),
        ("20 m2", "twenty square meters"),
        ("5 mi 3 oz", "five miles three ounces"),
        ("3/8 inch", "three eighths inch"),
        ("1/5", "one fifth"),
        ("24/7", "twenty four seven"),
        ("1-800-555-1234", "one eight zero zero five five five one two three four"),
        ("Ann Li, Ph.D., spoke", "Ann Li, P H D, spoke"),
        ("at 9 a.m. sharp", "at nine A M sharp"),
        ("may 5 people come", "may five people come"),
        ("$5", "five dollars"),
        ("$1", "one dollar"),
        ("$5.50", "five dollars and fifty cents"),
        ("$0.01", "one cent"),
        ("$3 million", "three million dollars"),
        ("£2.05", "two pounds and five pence"),
        ("€7", "seven euros"),
        ("5%", "five percent"),
        ("12.5%", "twelve point five percent"),
        ("in 1984", "in nineteen eighty four"),
        ("in 1900", "in nineteen hundred"),
        ("in 2005", "in two thousand and five"),
        ("in 2024.", "in twenty twenty four."),
        ("the 1990s", "the nineteen nineties"),
        ("3:45 p.m.", "three forty five P M."),
        ("at 7:00", "at seven o'clock"),
        ("10:05", "ten oh five"),
        ("10 am", "ten A M"),
        ("5-10 km", "five to ten kilometers"),
        ("1 kg", "one kilogram"),
        ("20°C", "twenty degrees Celsius"),
        ("1/2 cup", "one half cup"),
        ("salt & pepper", "salt and pepper"),
        ("me@example.com", "me at example dot com"),
        ("2+2=4", "two plus two equals four"),
        ("#1", "number one"),
        ("version 2.0.1", "version two point zero point one"),
        ("We met at 5:30 pm. Then we left.", "We met at five thirty P M. Then we left."),
        ("We met at 5 p.m. Then we left.", "We met at five P M. Then we left."),
        ("at 7:00 p.m. Monday", "at seven P M Monday"),
        ("in at 5 pm, out", "in at five P M, out"),
        ("We met on 5 May. Then we left.", "We met on the fifth of May. Then we left."),
        ("on 3 Dec. Then", "on the third of December. Then"),
        ("on 3 Dec. 2024", "on the third of December twenty twenty four"),
        ("In May. 5 people", "In May. five people"),
        ("She has a Ph.D. He has none.", "She has a P H D. He has none."),
        ("John Doe Jr. He", "John Doe Junior. He"),
        ("on Park Ave. Then", "on Park Avenue. Then"),
        ("on Park Ave. now", "on Park Avenue now"),
        ("1 1/2 cups", "one and a half cups"),
        ("1 1/2 km, 1/2 km", "one and a half kilometers, one half kilometer"),
        ("2 2/3 cups", "two and two thirds cups"),
        ("a 3 1/2-year-old", "a three and a half-year-old"),
        ("10^6 cells, 10^2", "ten to the power of six cells, ten squared"),
        ("10^-6", "ten to the power of minus six"),
        ("Write 500-1000 words.", "Write five hundred to one thousand words."),
        ("100-2000 people", "one hundred to two thousand people"),
        ("800-555-1234", "eight zero zero five five five one two three four"),
        ("Tel.: 555-1234", "Tel.: five five five one two three four"),
        ("It’s fine", "It's fine"),
        ("Nothing to do here, really!", "Nothing to do here, really!"),
    ],
)
def test_english(written: str, spoken: str):
    # A space before a final mark makes no difference to the words or the pause.
    assert normalize_english(written).replace(" .", ".").replace(" ,", ",") == spoken


def test_days_come_first_outside_america():
    assert normalize_english("3/5/2024", day_first=True) == "May third, twenty twenty four"
    assert EnglishPhonemizer("en-gb").normalize("3/5/2024").startswith("May")
    assert EnglishPhonemizer("en").normalize("3/5/2024").startswith("March")
    assert normalize_english("31/31/2024") == "thirty one / thirty one /twenty twenty four"


@given(st.integers(0, 10**20), st.sampled_from(["{}", "${}", "{}%", "{}th", "{} km", "-{}"]))
def test_no_digit_remains_in_english(number: int, form: str):
    assert not any(character.isdigit() for character in normalize_english(form.format(number)))


@given(st.text(alphabet="0123456789.,:;-–/$£€%°#&@+= apmAPMkgstndrh'", max_size=25))
def test_english_digits_are_always_spelled(text: str):
    assert not any(character.isdigit() for character in normalize_english(text))


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("cs", "mám 21 let", "mám dvacet jedna let"),
        ("de", "1.234 Leute", "eintausendzweihundertvierunddreißig Leute"),
        ("de", "1.234,5 Euro", "1234,5 Euro"),
        ("fr-fr", "80 francs", "quatre vingts francs"),
        ("es", "3 gatos.", "tres gatos."),
        ("nl", "x2 en 2x", "x2 en 2x"),
        ("sv", "007", "noll noll sju"),
        ("nb", "5", "fem"),
        ("el", "12", "12"),
        ("hi", "12", "12"),
        ("it", "nessun numero", "nessun numero"),
    ],
)
def test_other_languages(language: str, written: str, spoken: str):
    assert spell_numbers(written, language) == spoken


@given(
    st.integers(0, 10**18),
    st.sampled_from(sorted(NUM2WORDS)),
)
def test_every_whole_number_is_spelled(number: int, language: str):
    spoken = spell_numbers(str(number), language)
    assert spoken
    assert not any(character.isdigit() for character in spoken)


def test_cleaning():
    assert clean_text(" a\t\u00a0b\u200b\u00ad\ufeffc\x00d ") == "a bc d"
    assert clean_text("ﬁne １２ ٣") == "fine 12 3"
    assert clean_text("e\u0301") == "é"
    assert clean_text("1½ ½ 3¾-") == "1 1/2 1/2 3 3/4-"
    assert clean_text("10⁶ 10⁻¹² m² km² m³") == "10^6 10^-12 m2 km2 m3"


def test_cleaning_reports_what_it_drops(caplog: pytest.LogCaptureFixture):
    assert clean_text("a\ud800\ue000b") == "ab"
    assert "U+D800" in caplog.text
    assert "U+E000" in caplog.text


def phrases(text: str, language: str = "en") -> list[tuple[str, str]]:
    names = {value: name for name, value in PUNCTUATION.items()}
    return [(p.text, names[p.pause]) for p in split_phrases(clean_text(text), language)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, no.", [("Yes", "comma"), ("no", "full_stop")]),
        ("What?! No", [("What", "question"), ("No", "none")]),
        ("Wait... what…", [("Wait", "dash"), ("what", "dash")]),
        ("a - b -- c — d-e", [("a", "dash"), ("b", "dash"), ("c", "dash"), ("d-e", "none")]),
        ('"Go!" he said', [("", "quote"), ("Go", "exclamation"), ("he said", "none")]),
        ("one (two) three", [("one", "quote"), ("two", "quote"), ("three", "none")]),
        ("3.5 and 1,000: ok; so", [("3.5 and 1,000", "colon"), ("ok", "colon"), ("so", "none")]),
        ("你好，世界。", [("你好", "comma"), ("世界", "full_stop")]),
        ("¿Qué? ¡No!", [("¿Qué", "question"), ("¡No", "exclamation")]),
        ("नमस्ते।", [("नमस्ते", "full_stop")]),
    ],
)
def test_pauses(text: str, expected: list[tuple[str, str]]):
    assert phrases(text) == expected


def test_greek_question_mark():
    assert phrases("Τι; Καλά.", "el") == [("Τι", "question"), ("Καλά", "full_stop")]
    assert phrases("Τι\u037e", "el") == [("Τι", "question")]


def test_stronger_pause_wins():
    mark = PUNCTUATION
    assert stronger(mark["quote"], mark["comma"]) == mark["comma"]
    assert stronger(mark["question"], mark["exclamation"]) == mark["question"]
    assert stronger(mark["none"], mark["quote"]) == mark["quote"]


@given(st.text())
def test_only_punctuation_is_cut_away(text: str):
    clean = clean_text(text)
    left = "".join(phrase.text for phrase in split_phrases(clean, "en"))
    assert [c for c in clean if c.isalnum()] == [c for c in left if c.isalnum()]


def test_words_that_listeners_compare():
    assert WordList("en")("It's 7:30, Mr. X!") == ["its", "seven", "thirty", "mister", "x"]
    assert WordList("en")("An F-22 Raptor") == WordList("en")("an F22 raptor")
    pytest.importorskip("pypinyin")
    assert WordList("zh")("我有2个 OK。") == [*"我有两个", "ok"]
