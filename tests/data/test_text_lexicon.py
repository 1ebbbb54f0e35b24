"""A user's lexicon changes how words are said, and its faults are named by line."""

from pathlib import Path

import pytest

from data.errors import InputError
from data.text.frontend import Phonemes, TextFrontend
from data.text.ipa import parse_ipa
from data.text.lexicon import Lexicon
from data.text.symbols import FIRST_TONE, SYMBOLS

STRESS = 0


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "words.tsv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def phones(phonemes: Phonemes) -> list[str]:
    return ["".join(SYMBOLS[i] for i in phonemes.ids[a:b]) for a, b in phonemes.word_spans]


def test_words_are_said_as_the_file_says(write):
    path = write(
        '# names\n\ntimbre\tˈtæmbɚ\nGPT-4\t/dʒiː piː tiː ˈfɔːɹ/\nDr.\tˈdɹɒk\nNguyen\t"win"\n'
    )
    frontend = TextFrontend("en", path)
    phonemes = frontend("Timbre, said Dr. Nguyen: GPT-4 talks.")
    assert phonemes.words == ["timbre", "said", "Dr.", "Nguyen", "GPT-4", "talks"]
    said = phones(phonemes)
    assert said[0] == "tæmbɚ"
    assert said[2] == "dɹɒk"
    assert said[3] == phones(TextFrontend("en")("win"))[0]
    assert said[4] == "dʒiːpiːtiːfɔːɹ"
    stressed = [SYMBOLS[i] for i in phonemes.ids[slice(*phonemes.word_spans[0])]]
    assert stressed[1] == "æ"
    assert phonemes.marks[phonemes.word_spans[0][0] + 1, STRESS] == 1
    assert said[1] == phones(TextFrontend("en")("said"))[0]


def test_only_whole_words_in_the_case_given(write):
    frontend = TextFrontend("en", write("US\tju ɛs\ncat\tkæt\n"))
    assert phones(frontend("us"))[0] != "juɛs"
    assert phones(frontend("US"))[0] == "juɛs"
    plain = TextFrontend("en")
    assert phones(frontend("concatenate scatter"))[0] == phones(plain("concatenate scatter"))[0]
    assert phones(frontend("CAT Cat"))[1] == "kæt"
    assert frontend("the cat's").words == ["the", "cat", "s"]


def test_longest_entry_wins_and_punctuation_stays(write):
    frontend = TextFrontend("en", write("new\tnu\nNew York\tnuː jɔɹk\n"))
    phonemes = frontend("New York, new.")
    assert phonemes.words == ["New York", "new"]
    assert phonemes.marks[phonemes.word_spans[0][1], 2] == 1


def test_chinese_entries_need_no_spaces(write):
    pytest.importorskip("pypinyin")
    frontend = TextFrontend("zh", write('行\tɕi2 ŋ\n重庆\t"虫庆"\n'))
    phonemes = frontend("我在重庆行")
    assert phonemes.words[-2:] == ["重庆", "行"]
    assert phones(phonemes)[-1] == "ɕiŋ"
    vowel = phonemes.word_spans[-1][0] + 1
    assert phonemes.marks[vowel, STRESS] == FIRST_TONE + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("good\tɡʊd\nbad\n", r"words\.tsv:2: 'bad' is not of the form word<TAB>phonemes"),
        ("bad\t\n", r"words\.tsv:1: .* is not of the form"),
        ("\tab\n", r"words\.tsv:1: .* is not of the form"),
        ("a\tb\n\n# x\nq\tqqq!\n", r"words\.tsv:4: '!' \(U\+0021\)"),
        ("a\t///\n", r"words\.tsv:1: '/'"),
        ("a\tb\na\tc\n", r"words\.tsv:2: 'a' is already in .*words\.tsv:1; remove one"),
        ("a\t5ab\n", r"words\.tsv:1: the tone 5"),
    ],
)
def test_faults_are_named_by_line(write, text: str, message: str):
    with pytest.raises(InputError, match=message):
        Lexicon(write(text))


def test_unreadable_files(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.tsv cannot be read"):
        Lexicon(tmp_path / "none.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"caf\xe9\tkafe\n")
    with pytest.raises(InputError, match=r"latin\.tsv cannot be read as UTF-8"):
        Lexicon(tmp_path / "latin.tsv")


def test_respelling_without_sound(write):
    frontend = TextFrontend("en", write('x\t"..."\n'))
    with pytest.raises(InputError, match=r"words\.tsv:1: en has no sound for '\.\.\.'"):
        frontend("say x")


def test_version_follows_the_content(write):
    plain = TextFrontend("en").version
    one = TextFrontend("en", write("a\tb\n")).version
    other = TextFrontend("en", write("a\tc\n")).version
    assert len({plain, one, other}) == 3


def test_ipa():
    marked = [(phone.symbol, phone.stress) for phone in parse_ipa("ˌʌn.dəˈstænd")]
    assert marked[0] == ("ʌ", 2)
    assert ("æ", 1) in marked
    assert [phone.symbol for phone in parse_ipa("t͡ʃiːz")] == ["tʃ", "iː", "z"]
    assert [phone.symbol for phone in parse_ipa("gi:")] == ["ɡ", "iː"]
    with pytest.raises(ValueError, match="no phonemes"):
        parse_ipa(" . ")
