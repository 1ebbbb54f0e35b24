"""Numbers, dates, money, units and signs, written out in Chinese.

Own code: of the packages that do this, cn2an and wetext (through contractions) install top-level
modules named `data` or `src`, which would shadow ours.
"""

import re
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
_TELEPHONE = "零幺二三四五六七八九"
_MAX_DIGITS = 16  # longer ones are said digit by digit
_SERIAL_DIGITS = 7  # so long a number without commas or zeros at its end names something
_HAN = "\u3400-\u9fff"
_COUNTED = frozenset(
    "个個只隻条條张張本位名件把辆輛台家次天年周週小分秒人块塊元岁歲种種杯瓶层層倍斤公米吨噸头頭匹套双雙"
    "对對份句段篇首场場门門间間座所点點万萬亿億千美欧歐港支枝根片颗顆朵群组組回遍趟克升厘毫平立"
)
"""A number before one of these counts something: two is then liǎng."""
_CURRENCIES = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑", "₩": "韩元", "₽": "卢布"}
_UNITS = {
    "km/h": "公里每小时",
    "m/s": "米每秒",
    "km2": "平方公里",
    "m2": "平方米",
    "m3": "立方米",
    "km": "公里",
    "cm": "厘米",
    "mm": "毫米",
    "kg": "公斤",
    "mg": "毫克",
    "ml": "毫升",
    "mL": "毫升",
    "kW": "千瓦",
    "GHz": "吉赫兹",
    "MHz": "兆赫兹",
    "kHz": "千赫兹",
    "Hz": "赫兹",
    "m": "米",
    "g": "克",
    "L": "升",
    "°C": "摄氏度",
    "°F": "华氏度",
    "°": "度",
}
_SIGNS = {"&": "和", "+": "加", "=": "等于", "×": "乘", "÷": "除以", "%": "百分号", "°": "度"}
_SIGNS |= {"@": "艾特", "#": "井号", "$": "美元", "€": "欧元", "£": "英镑", "¥": "元", "~": "到"}

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_FREE = r"(?<![\d.,A-Za-z])"
_DATE = (
    r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>0?[1-9]|1[0-2])(?P=mark)(?P<day>[12]\d|3[01]|0?[1-9])"
)


def normalize_chinese(text: str) -> str:
    """Write out what Chinese text abbreviates with digits and signs; words stay as they are.

    Knows whole and decimal numbers, years, dates, times, ratios, scores, ranges, fractions,
    percent, money, temperatures, units, telephone and room numbers, and the signs in `_SIGNS`.

    Args:
        text: clean text (see `clean_text`).
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def spell_integer(digits: str) -> str:
    """Spell a whole number: 10 is 十, 200 两百, 10010 一万零一十.

    Args:
        digits: ASCII digits; more than 16, or a leading zero, are read one by one.
    """
    if len(digits) > _MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return spell_digits(digits)
    if not int(digits):
        return _DIGITS[0]
    spoken = ""
    groups = -(-len(digits) // 4)
    padded = digits.zfill(4 * groups)
    pending_zero = False
    for index in range(groups):
        group = padded[4 * index : 4 * index + 4]
        power = groups - 1 - index
        if group == "0000":
            pending_zero = bool(spoken)
            # 万亿 keeps its 亿 where the group of 亿 is empty.
            spoken += "亿" if power == 2 and spoken else ""
            continue
        words = _spell_group(group)
        if spoken and (pending_zero or group[0] == "0"):
            words = _DIGITS[0] + words
        pending_zero = False
        spoken += words + ("", "万", "亿", "万")[power]
    if spoken.startswith("一十"):
        spoken = spoken[1:]
    return re.sub("^二(?=[百千万亿])", "两", spoken)


def spell_digits(digits: str, names: str = _DIGITS) -> str:
    """Spell each digit."""
    return "".join(names[int(digit)] for digit in digits)


def _spell_group(group: str) -> str:
    words = ""
    for digit, power in zip(group, ("千", "百", "十", ""), strict=True):
        if digit != "0":
            words += _DIGITS[int(digit)] + power
        elif words and not words.endswith(_DIGITS[0]):
            words += _DIGITS[0]
    return words.rstrip(_DIGITS[0])


def _spell(number: str) -> str:
    whole, _, decimals = number.replace(",", "").partition(".")
    spoken = spell_integer(whole)
    return f"{spoken}点{spell_digits(decimals)}" if decimals else spoken


def _spell_free(match: re.Match[str]) -> str:
    """Spell a number of which nothing but what follows it is known."""
    number = match.group()
    after = match.string[match.end() : match.end() + 2].lstrip()
    counts = after[:1] in _COUNTED and after != "分之"
    if number == "2" and counts:
        return "两"
    serial = len(number) >= _SERIAL_DIGITS and number.isdigit() and not number.endswith("000")
    if serial and not counts:
        return spell_digits(number)
    return _spell(number)


def _telephone(match: re.Match[str]) -> str:
    return spell_digits(re.sub(r"\D", "", match.group()), _TELEPHONE)


def _date(match: re.Match[str]) -> str:
    year, month, day = match.group("year", "month", "day")
    return f"{spell_digits(year)}年{_short(month)}月{_short(day)}日"


def _time(match: re.Match[str]) -> str:
    hour, minute, second = match.groups()
    spoken = ("两" if int(hour) == 2 else _short(hour)) + "点"
    if minute != "00" or second:
        spoken += ("零" if minute[0] == "0" and minute != "00" else "") + _short(minute) + "分"
    if second:
        spoken += _short(second) + "秒"
    return spoken


def _short(digits: str) -> str:
    """Spell a number of one or two digits, the first of which may be 0."""
    return spell_integer(str(int(digits)))


def _money(match: re.Match[str]) -> str:
    amount, magnitude = match.group("amount"), match.group("magnitude") or ""
    whole, _, cents = amount.partition(".")
    cents = cents.rstrip("0")
    spoken = _spell(f"{whole}.{cents}" if cents else whole)
    if spoken == "二" and not magnitude:
        spoken = "两"
    return spoken + magnitude + _CURRENCIES[match.group("sign")]


def _measure(match: re.Match[str]) -> str:
    minus, number, unit = match.groups()
    spoken = _spell(number)
    name = _UNITS[unit]
    if unit.startswith("°"):
        return ("零下" if minus else "") + spoken + name
    return ("负" if minus else "") + ("两" if spoken == "二" else spoken) + name


def _percent(match: re.Match[str]) -> str:
    minus, number, sign = match.groups()
    return ("负" if minus else "") + ("百分之" if sign == "%" else "千分之") + _spell(number)


def _version(match: re.Match[str]) -> str:
    return "点".join(spell_integer(number) for number in match.group().split("."))


def _fraction(match: re.Match[str]) -> str:
    above, below = match.groups()
    return f"{spell_integer(below)}分之{spell_integer(above)}"


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(rf"(?<=[{_HAN}])\s+(?=[\d¥$€£-])|(?<=\d)\s+(?=[{_HAN}])"), ""),
    (re.compile(rf"{_FREE}{_DATE}(?!\d)"), _date),
    (
        re.compile(r"(?<![\d.,])(?!1000)[12]\d{3}(?=年(?!前|后|後|间|間|来|來))"),
        lambda match: spell_digits(match.group()),
    ),
    (re.compile(r"(?<!\d)\d0(?=[后後])"), lambda match: spell_digits(match.group())),
    (
        re.compile(rf"{_FREE}(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{{4}}[- ]?\d{{4}}(?!\d)"),
        _telephone,
    ),
    (re.compile(rf"{_FREE}0\d{{2,3}}-\d{{7,8}}(?!\d)"), _telephone),
    (
        re.compile(r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])"),
        _time,
    ),
    (re.compile(r"(?<=\d):(?=\d)"), "比"),
    (re.compile(r"(?<=[\d%])(?:[-–—~]|\s[-–—~]\s)(?=\d{1,9}(?!\d|-))"), "到"),
    (
        re.compile(
            rf"(?P<sign>[{''.join(_CURRENCIES)}])\s?(?P<amount>{_NUMBER})"
            r"(?P<magnitude>[万萬亿億千百]+)?(?:元|美元|欧元|英镑)?"
        ),
        _money,
    ),
    (
        re.compile(
            rf"(?:{_FREE}(?<![{_HAN}]\d)(-)|(?<![\d.,]))({_NUMBER})\s?"
            rf"({'|'.join(map(re.escape, _UNITS))})(?![A-Za-z0-9])"
        ),
        _measure,
    ),
    (re.compile(rf"(?:{_FREE}(-))?({_NUMBER})\s?([%‰])"), _percent),
    (re.compile(rf"{_FREE}(\d{{1,3}}) (?=\d{{1,2}}/\d{{1,2}}(?![\d/]))"), r"\1又"),
    (re.compile(rf"{_FREE}(\d{{1,4}})/(\d{{1,4}})(?![\d/])"), _fraction),
    (re.compile(r"\d+(?:\.\d+){2,}"), _version),
    (re.compile(r"(?<!\d)\.(?=\d)"), "零点"),
    (re.compile(r"(?<=\d)\^-(\d+)"), r"的负\1次方"),
    (re.compile(r"(?<=\d)\^(\d+)"), r"的\1次方"),
    (re.compile(r"(?<![\w-])[-\u2212](?=\d)"), "负"),
    (re.compile(r"(?<=第)\d+"), lambda match: spell_integer(match.group())),
    (re.compile(r"(?<!\d)\d{3,4}(?=[室房路])"), _telephone),
    (re.compile(_NUMBER), _spell_free),
    (
        re.compile(f"[{re.escape(''.join(_SIGNS))}]"),
        lambda match: _SIGNS[match.group()],
    ),
)
"""In this order: a rule may rely on what those before it have taken away."""
