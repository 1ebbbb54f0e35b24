"""How much of a language's sounds a voice's texts hold."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from data.errors import InputError
from data.text.frontend import TextFrontend
from data.text.symbols import SILENCE_ID, SYMBOLS

_MOST_LETTERS = 80
_PAIRS_PER_TEXT = 60
_FEWEST_PAIRS = 8
_MANDARIN = (
    "八怕妈发大他那拉嘎卡哈加恰下扎查沙日热杂擦撒哦鹅爱黑高口安恩昂灯"
    "儿一牙也要有烟因央英用五瓦我外为弯文王翁鱼月元云女绿居去虚四知吃"
    "是子词兄穷农东论村锅国飞美得了波坡"
)
_JAPANESE = (
    "あ い う え お か き く け こ が ぎ ぐ げ ご さ し す せ そ ざ "
    "じ ず ぜ ぞ た ち つ て と だ で ど な に ぬ ね の ひ ふ ほ ば "
    "び ぶ べ ぼ ぱ ぴ ぷ ぺ ぽ ま み む め も や ゆ よ ら り る れ "
    "ろ わ きゃく しゃしん ちゃわん にゃあ ひゃく みゃく りゃく ぎゃく "
    "じゃま びゃく ぴゃく しんぶん がっこう"
)
_EVERY_SOUND = {"zh": "，".join([*_MANDARIN, "花儿"]), "ja": "、".join(_JAPANESE.split())}
"""Texts with every sound of languages whose characters are too many to be tried in pairs: all that
Mandarin's 410 readings have but the interjections m and n, and all morae of Japanese."""


@dataclass(frozen=True)
class Coverage:
    """Phonemes of one language in a voice."""

    language: str
    """Language code."""
    counts: dict[str, int]
    """How often each phoneme occurs, most frequent first."""
    missing: tuple[str, ...]
    """Phonemes of the language that never occur."""

    @property
    def share(self) -> float:
        """Share of the language's phonemes that occur."""
        return len(self.counts) / max(1, len(self.counts) + len(self.missing))


def coverage(language: str, texts: Sequence[str], symbols: Iterable[Sequence[int]]) -> Coverage:
    """Count the phonemes of a voice and find those that are missing.

    The language's phonemes are taken to be those that its front end writes for pairs of letters of
    the voice's own alphabet (in at least eight different pairs, for rarer ones are foreign), in
    Mandarin and Japanese those of a text that has every sound. For other scripts with more than 80
    different letters nothing is known to be missing.

    Args:
        language: code.
        texts: what is said.
        symbols: phonemes of each text.
    """
    counted = Counter(s for ids in symbols for s in ids if s != SILENCE_ID)
    counts = {SYMBOLS[s]: count for s, count in counted.most_common()}
    missing = sorted(_inventory(language, texts) - set(counts))
    return Coverage(language, counts, tuple(missing))


def _inventory(language: str, texts: Sequence[str]) -> set[str]:
    if (sample := _EVERY_SOUND.get(language.split("-")[0])) and texts:
        ids = set(TextFrontend(language)(sample).ids.tolist()) - {SILENCE_ID}
        return {SYMBOLS[symbol] for symbol in ids}
    folded = (c for text in texts for c in unicodedata.normalize("NFC", text.casefold()))
    letters = sorted({c for c in folded if c.isalpha()})
    if not 0 < len(letters) <= _MOST_LETTERS:
        return set()
    frontend = TextFrontend(language)
    # A vowel-like letter between others makes nearly every pair pronounceable as a word.
    pairs = [a + b + a for a, b in product(letters, letters) if a != b]
    seen: Counter[str] = Counter()
    for start in range(0, len(pairs), _PAIRS_PER_TEXT):
        try:
            phonemes = frontend(" ".join(pairs[start : start + _PAIRS_PER_TEXT]))
        except InputError:
            continue
        for first, last in phonemes.word_spans:
            seen.update({SYMBOLS[s] for s in phonemes.ids[first:last].tolist()})
    return {symbol for symbol, count in seen.items() if count >= _FEWEST_PAIRS}
