"""The symbol table is what checkpoints rely on: it only grows, and it covers IPA."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.text import symbols

VERSION_1 = {
    "symbols": (354, "8d0e8d87446836d3"),
    "languages": (62, "19f902fddd351b08"),
}


def digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def test_version_1_is_kept_at_the_front():
    symbol_count, symbol_digest = VERSION_1["symbols"]
    assert digest(symbols.SYMBOLS[:symbol_count]) == symbol_digest
    language_count, language_digest = VERSION_1["languages"]
    assert digest(symbols.LANGUAGES[:language_count]) == language_digest


def test_new_entries_raise_the_version():
    sizes = (len(symbols.SYMBOLS), len(symbols.LANGUAGES))
    grown = sizes != tuple(count for count, _ in VERSION_1.values())
    assert (symbols.SYMBOL_TABLE_VERSION > 1) == grown


def test_table_is_consistent():
    assert len(set(symbols.SYMBOLS)) == len(symbols.SYMBOLS)
    assert len(set(symbols.LANGUAGES)) == len(symbols.LANGUAGES)
    assert symbols.SYMBOLS[symbols.BLANK_ID] == symbols.BLANK
    assert symbols.SYMBOLS[symbols.SILENCE_ID] == symbols.SILENCE
    assert tuple(symbols.MARK_SIZES) == symbols.MARKS
    assert len(symbols.LANGUAGES) <= symbols.MARK_SIZES["language"]
    assert max(symbols.PUNCTUATION.values()) < symbols.MARK_SIZES["punctuation"]
    assert symbols.MARK_SIZES["stress"] == symbols.FIRST_TONE + 7


def test_every_symbol_is_made_of_characters_of_the_table():
    for symbol in symbols.SYMBOLS[2:]:
        assert set(symbol) <= symbols.CHARACTERS
        assert symbols.split_ipa(symbol) == [symbol]


def test_ids_are_the_places():
    assert [symbols.symbol_id(symbol) for symbol in symbols.SYMBOLS] == list(
        range(len(symbols.SYMBOLS))
    )
    with pytest.raises(ValueError, match=r"U\+0071 U\+0071"):
        symbols.symbol_id("qq")


@pytest.mark.parametrize(
    ("ipa", "expected"),
    [
        ("tʃ", ["tʃ"]),
        ("həloʊ", ["h", "ə", "l", "oʊ"]),
        ("aɪə", ["aɪə"]),
        ("tːs", ["tː", "s"]),
        ("ɑ̃", ["ɑ̃"]),
        ("ç", ["ç"]),
        ("c\u0327", ["ç"]),
        ("õ", ["o\u0303"]),
        ("r̝̊", ["r̝̊"]),
        ("bʷ", ["b", "ʷ"]),
        ("", []),
    ],
)
def test_split_takes_the_longest(ipa: str, expected: list[str]):
    assert symbols.split_ipa(ipa) == expected


@given(st.text(alphabet=sorted(symbols.CHARACTERS), max_size=30))
def test_split_loses_nothing(ipa: str):
    assert "".join(symbols.split_ipa(ipa)) == symbols.normalize_ipa(ipa)


@given(st.text(max_size=10))
def test_characters_outside_the_table_are_named(ipa: str):
    if set(symbols.normalize_ipa(ipa)) <= symbols.CHARACTERS:
        assert "".join(symbols.split_ipa(ipa)) == symbols.normalize_ipa(ipa)
    else:
        with pytest.raises(ValueError, match=r"U\+"):
            symbols.split_ipa(ipa)


def test_language_ids():
    assert symbols.language_id("en") == symbols.language_id("en-us") == 1
    assert symbols.language_id("PT-br") == symbols.LANGUAGES.index("pt")
    assert symbols.language_id("tlh") == symbols.LANGUAGES.index("und") == 0
