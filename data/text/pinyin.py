"""Pinyin syllables as phones."""

from dataclasses import dataclass

from data.text.phonemizer import Phone
from data.text.symbols import FIRST_TONE, STRESS_NONE, is_nucleus, normalize_ipa

NEUTRAL = 5
"""Number of the neutral tone; tones 1 to 4 are those of pinyin."""

_INITIALS = (
    "b p p pʰ m m f f d t t tʰ n n l l g k k kʰ h x "
    "j tɕ q tɕʰ x ɕ zh ʈʂ ch ʈʂʰ sh ʂ r ʐ z ts c tsʰ s s"
)
_FINALS = {
    "a": "a",
    "o": "w o",
    "e": "ɤ",
    "ê": "ɛ",
    "i": "i",
    "u": "u",
    "ü": "y",
    "er": "ɚ",
    "ai": "aɪ",
    "ei": "eɪ",
    "ao": "ɑʊ",
    "ou": "oʊ",
    "an": "a n",
    "en": "ə n",
    "ang": "ɑ ŋ",
    "eng": "ə ŋ",
    "ong": "ʊ ŋ",
    "ia": "j a",
    "ie": "j ɛ",
    "iao": "j ɑʊ",
    "iou": "j oʊ",
    "ian": "j ɛ n",
    "in": "i n",
    "iang": "j ɑ ŋ",
    "ing": "i ŋ",
    "iong": "j ʊ ŋ",
    "ua": "w a",
    "uo": "w o",
    "uai": "w aɪ",
    "uei": "w eɪ",
    "uan": "w a n",
    "uen": "w ə n",
    "uang": "w ɑ ŋ",
    "ueng": "w ə ŋ",
    "üe": "ɥ ɛ",
    "üan": "ɥ ɛ n",
    "ün": "y n",
}
WHOLE = {
    "o": "o",
    "yo": "j o",
    "n": "n̩",
    "m": "m̩",
    "ng": "ŋ̩",
    "hng": "x ŋ̩",
    "hm": "x m̩",
    "r": "ɚ",
}
"""Interjections and other syllables that are not an initial and a final."""
_BUZZED = frozenset({"z", "c", "s", "zh", "ch", "sh", "r"})
"""After these the final written i is a vowel of its own."""
_RHOTIC = {
    ("ɨ",): ("ə",),
    ("i",): ("i", "ə"),
    ("y",): ("y", "ə"),
    ("i", "n"): ("i", "ə"),
    ("y", "n"): ("y", "ə"),
    ("aɪ",): ("a",),
    ("eɪ",): ("ə",),
}
"""How the end of a final changes before the r of erhua; an n is dropped from the others."""

_PHONES = _INITIALS.split()
_INITIAL_PHONE = dict(zip(_PHONES[::2], _PHONES[1::2], strict=True))


@dataclass(frozen=True)
class Syllable:
    """A Chinese character and how it is said."""

    character: str
    initial: str
    """Pinyin initial; empty for a vowel or glide."""
    final: str
    """Pinyin final in full (`uei`, not `ui`); a whole syllable if it has no such parts."""
    tone: int
    """1 to 4, or `NEUTRAL`."""
    rhotic: bool = False
    """Whether the r of erhua ends it."""


def syllable_phones(syllable: Syllable) -> tuple[Phone, ...]:
    """Return the phones of a syllable; its vowel carries the tone.

    Raises:
        KeyError: there is no such syllable.
    """
    initial, final = syllable.initial, syllable.final
    if not initial and final in WHOLE:
        rime = WHOLE[final].split()
    elif final == "i" and initial in _BUZZED:
        rime = ["ɨ"]
    elif final == "o":
        rime = ["o"]  # the w of bo, po, mo, fo is the lips' way from the initial
    else:
        rime = _FINALS[final].split()
    if syllable.rhotic:
        rime = _with_r(rime)
    symbols = [_INITIAL_PHONE[initial]] if initial else []
    symbols += [normalize_ipa(symbol) for symbol in rime]
    nucleus = next(i for i, symbol in enumerate(symbols) if is_nucleus(symbol))
    tone = FIRST_TONE + syllable.tone - 1
    return tuple(
        Phone(symbol, tone if i == nucleus else STRESS_NONE) for i, symbol in enumerate(symbols)
    )


def _with_r(rime: list[str]) -> list[str]:
    for tail, changed in _RHOTIC.items():
        if tuple(rime[-len(tail) :]) == tail:
            return [*rime[: -len(tail)], *changed, "ɻ"]
    return [*(rime[:-1] if rime[-1] == "n" else rime), "ɻ"]
