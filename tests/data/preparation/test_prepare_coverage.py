"""Which sounds of a language a voice's texts hold."""

import pytest

from data.preparation.coverage import Coverage, coverage
from data.preparation.pictures import phonemes
from data.text.frontend import TextFrontend


def of(language: str, *texts: str) -> Coverage:
    frontend = TextFrontend(language)
    return coverage(language, texts, [frontend(text).ids.tolist() for text in texts])


def test_letters_tell_what_is_missing() -> None:
    found = of("cs", "Příliš žluťoučký kůň úpěl ďábelské ódy.", "Kočka leze dírou, pes oknem.")
    assert "t" in found.missing
    assert not {"k", "l", "p"} & set(found.missing)
    assert 0.5 < found.share < 1


@pytest.mark.parametrize(
    ("language", "text", "said", "missing"),
    [
        ("zh", "你好，我们去公园。", {"n", "x", "ɑʊ", "tɕʰ"}, {"f", "tsʰ", "ʈʂ", "ʐ", "ɚ"}),
        ("ja", "これは猫です。", {"k", "ɾ", "d"}, {"ɸ", "ɕ", "ts", "ɴ", "ʔ"}),
    ],
)
def test_mandarin_and_japanese_are_compared_with_all_their_sounds(
    language: str, text: str, said: set[str], missing: set[str]
) -> None:
    pytest.importorskip("jieba" if language == "zh" else "pyopenjtalk")
    found = of(language, text)
    assert said <= set(found.counts)
    assert missing <= set(found.missing)
    assert not said & set(found.missing)
    assert found.share < 0.6
    assert coverage(language, [], []).missing == ()
    assert phonemes(found).startswith(b"\x89PNG")
