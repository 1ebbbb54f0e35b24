"""Mandarin: readings, tones in company, phones, and numbers read in Chinese."""

import logging
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.text.frontend import Phonemes, TextFrontend
from data.text.normalize_chinese import normalize_chinese, spell_integer
from data.text.pinyin import NEUTRAL, Syllable, syllable_phones
from data.text.punctuation import clean_text
from data.text.scripts import is_han
from data.text.symbols import FIRST_TONE, LANGUAGES, SYMBOLS, is_nucleus

pytest.importorskip("pypinyin")
pytest.importorskip("jieba")

STRESS, LANGUAGE = 0, 3


@pytest.fixture(scope="module")
def mandarin() -> TextFrontend:
    return TextFrontend("zh")


def tones(phonemes: Phonemes) -> str:
    """The tone of every syllable."""
    column = phonemes.marks[:, STRESS]
    return "".join(str(mark - FIRST_TONE + 1) for mark in column if mark >= FIRST_TONE)


def phones(phonemes: Phonemes) -> list[str]:
    return ["".join(SYMBOLS[i] for i in phonemes.ids[a:b]) for a, b in phonemes.word_spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中国人", "122"),
        ("妈妈骂马吗", "15435"),
        # Third tones: 纸+老虎, 展览+馆, 我很+好, 我想+买酒.
        ("你好", "23"),
        ("纸老虎", "323"),
        ("展览馆", "223"),
        ("我很好", "223"),
        ("我想买酒", "2323"),
        ("好吃", "31"),
        # 不 rises before a fourth tone and is light between like syllables.
        ("不对", "24"),
        ("不好", "43"),
        ("好不好", "353"),
        # 一 keeps its tone in ordinals, in numbers and at the end of words.
        ("一天", "41"),
        ("一年", "42"),
        ("一样", "24"),
        ("一个", "24"),
        ("第一", "41"),
        ("统一", "31"),
        ("看一看", "454"),
        ("十一", "21"),
        ("一百", "43"),
        ("一九九一年", "12312"),
    ],
)
def test_tones_in_company(mandarin: TextFrontend, text: str, expected: str):
    assert tones(mandarin(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好世界", "ni xɑʊ ʂɨ tɕjɛ"),
        ("知识资源日", "ʈʂɨ ʂɨ tsɨ ɥɛn ʐɨ"),
        ("绿色旅游", "ly sɤ ly joʊ"),
        ("英雄", "iŋ ɕjʊŋ"),
        ("归去来", "kweɪ tɕʰy laɪ"),
        ("嗯", "n̩"),
        # One character, several readings.
        ("银行行长", "in xɑŋ xɑŋ ʈʂɑŋ"),
        ("重庆很重", "ʈʂʰʊŋ tɕʰiŋ xən ʈʂʊŋ"),
        ("他跑得快", "tʰa pʰɑʊ tɤ kʰwaɪ"),
        ("我得走了", "wo teɪ tsoʊ lɤ"),
        ("慢慢地说", "man man tɤ ʂwo"),
        ("在地上", "tsaɪ ti ʂɑŋ"),
        # 儿 colours the syllable before it, unless it is a child.
        ("花儿", "xwaɻ"),
        ("一点儿", "i tjɛɻ"),
        ("女儿", "ny ɚ"),
        # Traditional characters.
        ("臺灣", "tʰaɪ wan"),
    ],
)
def test_phones(mandarin: TextFrontend, text: str, expected: str):
    assert "".join(phones(mandarin(text))) == expected.replace(" ", "")


def test_tones_stand_on_vowels_and_light_syllables_have_one(mandarin: TextFrontend):
    phonemes = mandarin("朋友们喜欢漂亮的东西。")
    toned = phonemes.ids[phonemes.marks[:, STRESS] > 0]
    assert all(is_nucleus(SYMBOLS[index]) for index in toned)
    assert tones(phonemes) == "2553545515"
    assert set(phonemes.marks[:, LANGUAGE]) == {LANGUAGES.index("zh")}


def test_every_pinyin_syllable_has_phones(mandarin: TextFrontend):
    from pypinyin.constants import PINYIN_DICT
    from pypinyin.contrib.tone_convert import to_normal

    characters = {
        to_normal(readings.split(",")[0]): chr(code)
        for code, readings in PINYIN_DICT.items()
        if is_han(chr(code)) and clean_text(chr(code)) == chr(code)
    }
    assert len(characters) > 400
    assert mandarin("，".join(characters.values())).words == list(characters.values())


def test_rhotic_neutral_syllable():
    spoken = syllable_phones(Syllable("味", "", "uei", NEUTRAL, rhotic=True))
    assert [phone.symbol for phone in spoken] == ["w", "ə", "ɻ"]
    assert spoken[1].stress == FIRST_TONE + 4


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("0", "零"),
        ("10", "十"),
        ("12", "十二"),
        ("20", "二十"),
        ("110", "一百一十"),
        ("200", "两百"),
        ("222", "两百二十二"),
        ("1001", "一千零一"),
        ("1010", "一千零一十"),
        ("2200", "两千二百"),
        ("10000", "一万"),
        ("10010", "一万零一十"),
        ("20000", "两万"),
        ("100000", "十万"),
        ("1000000", "一百万"),
        ("10001000", "一千万一千"),
        ("100000000", "一亿"),
        ("100000001", "一亿零一"),
        ("1000000000000", "一万亿"),
        ("007", "零零七"),
    ],
)
def test_integers(written: str, spoken: str):
    assert spell_integer(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("今天是2024年3月5日", "今天是二零二四年三月五日"),
        ("2024-03-05", "二零二四年三月五日"),
        ("2024/12/31", "二零二四年十二月三十一日"),
        ("1000年前", "一千年前"),
        ("90后", "九零后"),
        ("下午3:45", "下午三点四十五分"),
        ("8:00", "八点"),
        ("2:05", "两点零五分"),
        ("12:30:15", "十二点三十分十五秒"),
        ("比分3:2", "比分三比二"),
        ("上涨12.5%", "上涨百分之十二点五"),
        ("5%-10%", "百分之五到百分之十"),
        ("-3.5%", "负百分之三点五"),
        ("3/4的人", "四分之三的人"),
        ("¥1234.50", "一千二百三十四点五元"),
        ("$20.5", "二十点五美元"),
        ("$3.5万", "三点五万美元"),
        ("€2", "两欧元"),
        ("-5°C", "零下五摄氏度"),
        ("37°C", "三十七摄氏度"),
        ("100km/h", "一百公里每小时"),
        ("2kg", "两公斤"),
        ("身高1.75m", "身高一点七五米"),
        ("5-10公里", "五到十公里"),
        ("我有 2 个苹果", "我有两个苹果"),
        ("第2个", "第二个"),
        ("2月2号", "二月二号"),
        ("12,345人", "一万二千三百四十五人"),
        ("0.5", "零点五"),
        ("版本2.0.1", "版本二点零点一"),
        ("手机13812345678", "手机幺三八幺二三四五六七八"),
        ("010-62345678", "零幺零六二三四五六七八"),
        ("302室", "三零二室"),
        ("账号12345678", "账号一二三四五六七八"),
        ("温度是-5", "温度是-五"),
        ("1+1=2", "一加一等于二"),
        ("1 1/2杯", "一又二分之一杯"),
        ("10^6个", "十的六次方个"),
        ("10^-6", "十的负六次方"),
        ("没有数字", "没有数字"),
    ],
)
def test_normalization(written: str, spoken: str):
    assert normalize_chinese(written) == spoken


@settings(deadline=None)
@given(st.text(alphabet="0123456789.,:-/%¥$€°Ckm年月日个第点 a", max_size=25))
def test_digits_are_always_spelled(text: str):
    assert not any(character.isdigit() for character in normalize_chinese(text))


def value(spoken: str) -> int:
    """The number that Chinese words say, read independently of how they were written."""
    total = section = digit = 0
    for character in spoken:
        if character in "零一二三四五六七八九":
            digit = "零一二三四五六七八九".index(character)
        elif character == "两":
            digit = 2
        elif character in "十百千":
            section += (digit or 1) * 10 ** ("十百千".index(character) + 1)
            digit = 0
        elif character == "万":
            total, section, digit = total + (section + digit) * 10**4, 0, 0
        else:
            total, section, digit = (total + section + digit) * 10**8, 0, 0
    return total + section + digit


@settings(deadline=None)
@given(st.one_of(st.integers(0, 10**16 - 1), st.integers(0, 10**5)))
def test_integers_mean_their_value(number: int):
    assert value(spell_integer(str(number))) == number


def test_nothing_is_written_or_logged(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.DEBUG):
        TextFrontend("cmn")("没有噪音。")
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_pickled(mandarin: TextFrontend):
    copy = pickle.loads(pickle.dumps(mandarin))
    assert copy("再见。").ids.tolist() == mandarin("再见。").ids.tolist()


def test_characters_without_a_reading_are_logged(
    mandarin: TextFrontend, caplog: pytest.LogCaptureFixture
):
    assert mandarin("你好㐂吗😀").words == ["你好", "吗"]
    assert "zh has no sound for ['㐂', '😀']" in caplog.text


HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(alphabet=HAN, min_size=1, max_size=8), min_size=1, max_size=4))
def test_no_character_is_lost(mandarin: TextFrontend, phrases: list[str]):
    phonemes = mandarin("，".join(phrases))
    assert "".join(phonemes.words) == "".join(phrases)
