"""Japanese: sounds, pitch accent, and what is written out before Open JTalk reads."""

import pickle
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.text.frontend import Phonemes, TextFrontend
from data.text.japanese import HIGH, LOW
from data.text.normalize_japanese import normalize_japanese
from data.text.symbols import LANGUAGES, SYMBOLS

pytest.importorskip("pyopenjtalk")

pytestmark = pytest.mark.filterwarnings("ignore:Dictionary.create:DeprecationWarning")

STRESS, LANGUAGE = 0, 3


@pytest.fixture(scope="module")
def japanese() -> TextFrontend:
    return TextFrontend("ja")


def phones(phonemes: Phonemes) -> list[str]:
    return ["".join(SYMBOLS[i] for i in phonemes.ids[a:b]) for a, b in phonemes.word_spans]


def pitch(phonemes: Phonemes) -> str:
    letters = {HIGH: "H", LOW: "L"}
    return "".join(letters[mark] for mark in phonemes.marks[:, STRESS] if mark)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The three words hashi with が: bridge, chopsticks, edge.
        ("橋が", "LHL"),
        ("箸が", "HLL"),
        ("端が", "LHH"),
        ("東京", "LHHH"),
        ("学校", "LHHH"),
    ],
)
def test_pitch_accent(japanese: TextFrontend, text: str, expected: str):
    assert pitch(japanese(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("私は学生だ", "wataɕi wa ɡakɯsee da"),
        ("学校へ行く", "ɡaʔkoo e ikɯ"),
        ("富士山と月", "ɸɯdʑisaɴ to tsɯki"),
        ("きゃべつ", "kʲabetsɯ"),
        ("ファンとティー", "ɸaɴ to tii"),
        ("病院", "bʲooiɴ"),
        ("3本と6本", "saɴboɴ to ɾoʔpoɴ"),
        ("2024年3月5日", "niseɴnidʑɯɯjoneɴ saɴɡatsɯ itsɯka"),
        ("20円", "nidʑɯɯeɴ"),
    ],
)
def test_phones(japanese: TextFrontend, text: str, expected: str):
    assert "".join(phones(japanese(text))) == expected.replace(" ", "")


def test_whispered_vowels_have_no_pitch(japanese: TextFrontend):
    phonemes = japanese("好きです")
    assert [SYMBOLS[i] for i in phonemes.ids[1:-1]] == list("sɯkidesɯ")
    vowels = phonemes.marks[1:-1, STRESS][1::2].tolist()
    assert vowels == [0, HIGH, LOW, 0]
    assert set(phonemes.marks[:, LANGUAGE]) == {LANGUAGES.index("ja")}


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("12,345円", "12345円"),
        ("¥1,200", "1200円"),
        ("$20.5", "20.5ドル"),
        ("5%", "5パーセント"),
        ("20°C", "20度"),
        ("3.5kg", "3.5キログラム"),
        ("時速60km/h", "時速60キロメートル毎時"),
        ("2024/03/05", "2024年3月5日"),
        ("2024-3-5", "2024年3月5日"),
        ("3:45", "3時45分"),
        ("9:00", "9時"),
        ("12:30:05", "12時30分5秒"),
        ("5-10個", "5から10個"),
        ("1/2", "2分の1"),
        ("-5度", "マイナス5度"),
        ("090-1234-5678", "ゼロキューゼロイチニーサンヨンゴーロクナナハチ"),
        ("NHKのCD", "エヌエイチケーのシーディー"),
        ("Tシャツ", "ティーシャツ"),
        ("Hello", "Hello"),
        ("1+1=2", "1プラス1イコール2"),
        ("1 1/2杯", "1と2分の1杯"),
        ("10^6個", "10の6乗個"),
        ("何もない", "何もない"),
    ],
)
def test_normalization(written: str, spoken: str):
    assert normalize_japanese(written) == spoken


def test_works_without_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert phones(TextFrontend("ja")("犬")) == ["inɯ"]


def test_pickled(japanese: TextFrontend):
    copy = pickle.loads(pickle.dumps(japanese))
    assert copy("さようなら。").marks.tolist() == japanese("さようなら。").marks.tolist()


def test_signs_without_sound_are_logged(japanese: TextFrontend, caplog: pytest.LogCaptureFixture):
    assert japanese("犬😀・猫").words == ["犬", "猫"]
    assert "ja has no sound for ['😀']; left out" in caplog.text


KANA = [chr(code) for code in range(0x3042, 0x3094) if chr(code) not in "ぁぃぅぇぉっゃゅょゎ"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=KANA, min_size=1, max_size=8), min_size=1, max_size=4))
def test_no_kana_is_lost(japanese: TextFrontend, phrases: list[str]):
    phonemes = japanese("、".join(phrases))
    assert "".join(phonemes.words) == "".join(phrases)
