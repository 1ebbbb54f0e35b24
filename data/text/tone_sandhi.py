"""How Mandarin tones change in company: bù, yī and the third tone.

Rules as in the grammars; third-tone feet after Duanmu, The Phonology of Standard Chinese (2007),
chapter 11: words of two syllables are feet, single syllables pair up from the left, and the end of
a foot changes if the next foot still begins with a third tone.
"""

from collections.abc import Callable
from dataclasses import replace

from data.text.pinyin import NEUTRAL, Syllable

_DIGITS = frozenset("零〇一二三四五六七八九")
_POWERS = frozenset("百千万萬亿億")
_ORDINAL_AFTER = frozenset("月号號楼樓级級等流")
_RESULTS = frozenset("起见見到了住懂得多及")

Word = list[Syllable]


def apply_sandhi(words: list[Word], is_word: Callable[[str], bool]) -> list[Word]:
    """Return the words of a phrase with the tones that they have in it.

    Args:
        words: syllables with their tones alone.
        is_word: whether a string is in the dictionary; it tells 纸+老虎 from 展览+馆.
    """
    flat = [syllable for word in words for syllable in word]
    last_of_word = [i == len(word) - 1 for word in words for i in range(len(word))]
    alone = [len(word) == 1 for word in words for _ in word]
    for i, syllable in enumerate(flat):
        if syllable.character == "一":
            ends = last_of_word[i] and not alone[i]
            flat[i] = replace(syllable, tone=_tone_of_yi(flat, i, ends))
        elif syllable.character == "不":
            flat[i] = replace(syllable, tone=_tone_of_bu(flat, i))
    feet = _feet(words, is_word)
    _change_third_tones(flat, feet)
    rest = iter(flat)
    return [[next(rest) for _ in word] for word in words]


def _neighbours(flat: Word, i: int) -> tuple[Syllable | None, Syllable | None]:
    before = flat[i - 1] if i else None
    after = flat[i + 1] if i + 1 < len(flat) else None
    return before, after


def _tone_of_yi(flat: Word, i: int, ends_word: bool) -> int:
    before, after = _neighbours(flat, i)
    left = before.character if before else ""
    right = after.character if after else ""
    if right in _POWERS and left in ("零", "〇"):
        left = ""  # 一万零一百: a new group
    if after is None or ends_word or left in ("第", "十", "点", "點") or left in _DIGITS:
        return 1
    if left == right:
        return NEUTRAL  # 看一看
    if right in _DIGITS or right == "十" or right in _ORDINAL_AFTER:
        return 1
    if left in _POWERS and right not in _POWERS:
        return 1
    return 2 if after.tone in (4, NEUTRAL) else 4


def _tone_of_bu(flat: Word, i: int) -> int:
    before, after = _neighbours(flat, i)
    if after is None:
        return 4
    if before is not None and (
        before.character == after.character or _is_result(before, after.character)
    ):
        return NEUTRAL  # 好不好, 看不见
    return 2 if after.tone == 4 else 4


def _is_result(before: Syllable, after: str) -> bool:
    return after in _RESULTS and before.character in "看听聽说說对對来來差了吃想找做用买買受忍"


def _feet(words: list[Word], is_word: Callable[[str], bool]) -> list[int]:
    """Return the lengths of the feet of a phrase, in syllables."""
    feet: list[int] = []
    open_syllable = False  # whether the last foot is a single syllable that waits for another
    for word in words:
        for size in _parts("".join(s.character for s in word), len(word), is_word):
            if size == 1 and open_syllable and len(word) == 1:
                feet[-1] = 2
                open_syllable = False
            else:
                feet.append(size)
                open_syllable = size == 1 and len(word) == 1
    return feet


def _parts(text: str, size: int, is_word: Callable[[str], bool]) -> list[int]:
    if size <= 2:
        return [size]
    if size == 3:
        return [1, 2] if is_word(text[1:]) and not is_word(text[:2]) else [2, 1]
    return [2] * (size // 2 - size % 2) + ([3] if size % 2 else [])


def _change_third_tones(flat: Word, feet: list[int]) -> None:
    alone = [syllable.tone for syllable in flat]
    end = len(flat)
    for size in reversed(feet):
        for i in reversed(range(end - size, end)):
            # Inside a foot the tone that the next one has alone counts (2 2 3), between feet the
            # one that it has here (2 3 | 2 3).
            following = alone[i + 1] if i + 1 < end else flat[end].tone if end < len(flat) else 0
            if flat[i].tone == following == 3:
                flat[i] = replace(flat[i], tone=2)
        end -= size
