"""Sentences on which synthesisers stumble: 20 of each of ten kinds, the same every time."""

from __future__ import annotations

import random

_COUNT = 20
_NOUNS = (
    *("river", "kettle", "window", "garden", "letter", "market"),
    *("winter", "doctor", "bridge", "candle", "pocket", "story"),
)
_VERBS = ["found", "carried", "painted", "forgot", "answered", "followed", "counted", "opened"]
_PLACES = ["by the old mill", "behind the station", "on a cold morning", "near the green door"]
_SHORT = (
    *("Yes.", "No!", "Go.", "Why?", "Stop!", "Hello.", "Thanks.", "Sure.", "Never.", "Oh?"),
    *("Come in.", "Not now.", "Who is it?", "Wait for me.", "I see.", "Good night!"),
    *("So what?", "Over here.", "Too late.", "Say it again."),
)
_REPEATED = ["no", "yes", "really", "very", "far", "long", "run", "never", "again", "please"]
_TWISTERS = (
    "She sells sea shells by the sea shore.",
    "Peter Piper picked a peck of pickled peppers.",
    "How much wood would a woodchuck chuck if a woodchuck could chuck wood?",
    "Red lorry, yellow lorry, red lorry, yellow lorry.",
    "Six slippery snails slid slowly seaward.",
    "The sixth sick sheik's sixth sheep's sick.",
    "Fred fed Ted bread, and Ted fed Fred bread.",
    "I scream, you scream, we all scream for ice cream.",
    "Fuzzy Wuzzy was a bear, Fuzzy Wuzzy had no hair.",
    "Which witch switched the Swiss wrist watches?",
    "Betty bought some butter, but the butter was bitter.",
    "A proper copper coffee pot.",
    "Toy boat, toy boat, toy boat.",
    "Unique New York, unique New York.",
    "Lesser leather never weathered wetter weather better.",
    "Eleven benevolent elephants.",
    "Three free throws for three free thinkers.",
    "Greek grapes, Greek grapes, Greek grapes.",
    "He threw three balls through three tall halls.",
    "Black background, brown background.",
)
_ABBREVIATED = (
    "Dr. Lee met Mrs. Brown at 5 p.m. in St. Mary's.",
    "The U.S. and the U.K. signed it, etc.",
    "NASA sent the FBI a PDF.",
    "Prof. J. R. Hale lives on Elm St. near Mt. Rose.",
    "See fig. 3, vol. 2, approx. 40 km away.",
)
_EMOJI = ("😀", "🎉🎉", "👍", "❤", "🚀", "😂")
_CHINESE = ("你好", "谢谢", "我喜欢音乐", "今天天气很好", "再见")


def hard_sentences() -> dict[str, list[str]]:
    """Twenty sentences of each kind, by kind."""
    dice = random.Random(5)

    def clause() -> str:
        noun, other = dice.sample(_NOUNS, 2)
        return f"the {noun} {dice.choice(_VERBS)} a {other} {dice.choice(_PLACES)}"

    def number() -> str:
        value = dice.choice(
            [dice.randint(0, 99), dice.randint(100, 99_999), dice.randint(1, 10**7)]
        )
        form = dice.choice(["{:,}", "${:,}.50", "{:,} km", "{:,} percent", "No. {}"])
        return f"It was {form.format(value)} in {dice.randint(1950, 2030)}, or {value % 12 + 1}:45."

    def repeated() -> str:
        word = dice.choice(_REPEATED)
        return " ".join([word] * dice.randint(3, 7)).capitalize() + dice.choice(".!?")

    def long() -> str:
        return ", and ".join([clause()[4:] for _ in range(7)]).capitalize() + "."

    def quoted() -> str:
        return (
            f'"{clause().capitalize()}," she said — "or was it (perhaps) a {dice.choice(_NOUNS)}?"'
        )

    def emoji() -> str:
        return f"{clause().capitalize()} {dice.choice(_EMOJI)}! {dice.choice(_EMOJI)}"

    def mixed() -> str:
        return f"{dice.choice(_CHINESE)}, my {dice.choice(_NOUNS)}, {dice.choice(_CHINESE)}."

    return {
        "short": list(_SHORT),
        "plain": [clause().capitalize() + "." for _ in range(_COUNT)],
        "numbers": [number() for _ in range(_COUNT)],
        "abbreviations": [f"{_ABBREVIATED[i % 5]} {clause().capitalize()}." for i in range(_COUNT)],
        "repeated": [repeated() for _ in range(_COUNT)],
        "twisters": list(_TWISTERS),
        "long": [long() for _ in range(_COUNT)],
        "quotes": [quoted() for _ in range(_COUNT)],
        "emoji": [emoji() for _ in range(_COUNT)],
        "mixed": [mixed() for _ in range(_COUNT)],
    }
