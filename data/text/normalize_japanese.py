"""Signs, units and letters of Japanese text, written out; Open JTalk reads the digits."""

import re
from collections.abc import Callable
from string import ascii_uppercase, digits

_ALPHABET = (
    "エー ビー シー ディー イー エフ ジー エイチ アイ ジェー ケー エル エム エヌ "
    "オー ピー キュー アール エス ティー ユー ブイ ダブリュー エックス ワイ ゼット"
)
_LETTERS = dict(zip(ascii_uppercase, _ALPHABET.split(), strict=True))
_DIGITS = dict(
    zip(
        digits,
        ("ゼロ", "イチ", "ニー", "サン", "ヨン", "ゴー", "ロク", "ナナ", "ハチ", "キュー"),
        strict=True,
    )
)
_CURRENCIES = {"¥": "円", "$": "ドル", "€": "ユーロ", "£": "ポンド"}
_UNITS = {
    "km/h": "キロメートル毎時",
    "m/s": "メートル毎秒",
    "km2": "平方キロメートル",
    "m2": "平方メートル",
    "m3": "立方メートル",
    "km": "キロメートル",
    "cm": "センチメートル",
    "mm": "ミリメートル",
    "kg": "キログラム",
    "mg": "ミリグラム",
    "ml": "ミリリットル",
    "mL": "ミリリットル",
    "kW": "キロワット",
    "GHz": "ギガヘルツ",
    "MHz": "メガヘルツ",
    "kHz": "キロヘルツ",
    "Hz": "ヘルツ",
    "GB": "ギガバイト",
    "MB": "メガバイト",
    "m": "メートル",
    "g": "グラム",
    "L": "リットル",
    "°C": "度",
    "°F": "ファーレンハイト度",
    "°": "度",
    "%": "パーセント",
}
_SIGNS = {
    "&": "アンド",
    "+": "プラス",
    "=": "イコール",
    "×": "かける",
    "÷": "わる",
    "%": "パーセント",
}
_SIGNS |= {"@": "アット", "#": "シャープ", "°": "度", **_CURRENCIES}
_NUMBER = r"\d+(?:\.\d+)?"
_DATE = r"(\d{4})([-/.])(0?[1-9]|1[0-2])\2([12]\d|3[01]|0?[1-9])"


def normalize_japanese(text: str) -> str:
    """Write out dates, times, money, units, signs and capital letters.

    Args:
        text: clean text (see `clean_text`).
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _date(match: re.Match[str]) -> str:
    year, _, month, day = match.groups()
    return f"{year}年{int(month)}月{int(day)}日"


def _time(match: re.Match[str]) -> str:
    hour, minute, second = match.groups()
    spoken = f"{int(hour)}時"
    if minute != "00" or second:
        spoken += f"{int(minute)}分"
    return spoken + (f"{int(second)}秒" if second else "")


def _digit_by_digit(match: re.Match[str]) -> str:
    return "".join(_DIGITS[digit] for digit in re.sub(r"\D", "", match.group()))


def _letters(match: re.Match[str]) -> str:
    return "".join(_LETTERS[letter] for letter in match.group())


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(rf"(?<![\d.,]){_DATE}(?!\d)"), _date),
    (re.compile(r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])"), _time),
    (re.compile(r"(?<=\d):(?=\d)"), "対"),
    (re.compile(r"(?<![\d-])0\d{1,4}-\d{1,4}-\d{3,4}(?!\d)"), _digit_by_digit),
    (re.compile(r"(?<!\d)0\d{6,}|\d{17,}"), _digit_by_digit),
    (re.compile(r"(?<=[\d%])(?:[-–—~〜]|\s[-–—~〜]\s)(?=\d{1,9}(?!\d|-))"), "から"),
    (
        re.compile(rf"([{''.join(_CURRENCIES)}])\s?({_NUMBER})([万億兆]*)"),
        lambda match: f"{match.group(2)}{match.group(3)}{_CURRENCIES[match.group(1)]}",
    ),
    (
        re.compile(rf"({_NUMBER})\s?({'|'.join(map(re.escape, _UNITS))})(?![A-Za-z0-9])"),
        lambda match: match.group(1) + _UNITS[match.group(2)],
    ),
    (re.compile(r"(?<=\d)\^-(\d+)"), r"のマイナス\1乗"),
    (re.compile(r"(?<=\d)\^(\d+)"), r"の\1乗"),
    (re.compile(r"(?<![\w-])[-\u2212](?=\d)"), "マイナス"),
    (re.compile(r"(?<!\d)(\d{1,3}) (?=\d{1,2}/\d{1,2}(?![\d/]))"), r"\1と"),
    (
        re.compile(r"(?<!\d)(\d{1,4})/(\d{1,4})(?![\d/])"),
        lambda match: f"{match.group(2)}分の{match.group(1)}",
    ),
    # Abbreviations are said with the Japanese names of the letters; words (Hello) are not.
    (re.compile(r"(?<![A-Za-z])[A-Z]{1,6}(?![A-Za-z])"), _letters),
    (
        re.compile(f"[{re.escape(''.join(_SIGNS))}]"),
        lambda match: _SIGNS[match.group()],
    ),
)
"""In this order: a rule may rely on what those before it have taken away."""
