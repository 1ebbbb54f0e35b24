"""Texts for the teachers: example sentences of WordNet, joined to clips of varied length."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data.corpus.config import TextConfig

PACKAGE = "wordnet-base"
"""Debian package of the dictionary (WordNet 3.0 licence: free use with notice)."""
_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
# Plain letters, so that no number, abbreviation or foreign spelling can be read in two ways.
_PLAIN = re.compile(r"[A-Za-z][a-z']*(?:[,;:]? (?:[A-Z]?[a-z][a-z']*|I|A)(?:-[a-z]+)*)*[.?!]?")
_SEMICOLON_SHARE = 0.12
"""Neighbours joined by a semicolon instead of a full stop: shorter pauses are heard too."""


def read_examples(folder: Path) -> list[str]:
    """Read the quoted example sentences of WordNet in file order, duplicates removed.

    Args:
        folder: the dictionary's folder, `usr/share/wordnet` of the package.
    """
    examples: dict[str, None] = {}
    for name in _FILES:
        for line in (folder / name).read_text(encoding="utf-8", errors="replace").splitlines():
            # Licence lines begin with blanks; the gloss stands behind the bar.
            if not line.startswith("  "):
                gloss = line.partition("| ")[2]
                examples.update(dict.fromkeys(re.findall(r'"([^"]+)"', gloss)))
    return [example.strip() for example in examples]


def clip_texts(
    examples: Iterable[str], config: TextConfig, refused_words: Sequence[str], seed: int
) -> list[str]:
    """Make the texts of clips: sentences, pairs and groups of neighbours, and short phrases.

    Neighbours in the dictionary are joined until a length drawn for the clip is reached, so that
    clips last about 2 to 12 seconds. No example is used twice. Clips with questions and
    exclamations are spread evenly at `lively_share`, and so are short phrases.

    Args:
        examples: sentences in dictionary order.
        config: lengths and shares.
        refused_words: beginnings of words; examples with such a word are not used.
        seed: fixes the lengths and the order.

    Returns:
        As many texts as the examples give, in random order.
    """
    generator = np.random.default_rng([seed, 0x7E87])
    usable = [text for text in (_clean(example, refused_words) for example in examples) if text]
    phrases = [text for text in usable if 2 <= _words(text) <= 3 and text.endswith(".")]
    sentences = [
        text
        for text in usable
        if config.sentence_words_min <= _words(text) <= config.sentence_words_max
    ]
    # Neighbours come in random groups: shuffling whole stretches keeps related sentences together
    # and gives the rare questions a neighbour.
    groups = _group(sentences, config, generator)
    lively = [text for text in groups if re.search(r"[?!]", text)]
    calm = [text for text in groups if not re.search(r"[?!]", text)]
    for part in (lively, calm, phrases):
        generator.shuffle(part)
    return _mix(calm, [(lively, config.lively_share), (phrases, config.phrase_share)])


def _clean(example: str, refused_words: Sequence[str]) -> str | None:
    """The example as a sentence with capital and full stop, or None if it cannot be used."""
    if not _PLAIN.fullmatch(example):
        return None
    words = re.findall(r"[a-z']+", example.lower())
    if any(word.startswith(refused) for word in words for refused in refused_words):
        return None
    sentence = example[0].upper() + example[1:]
    return sentence if sentence[-1] in ".?!" else sentence + "."


def _words(text: str) -> int:
    return len(text.split())


def _group(sentences: list[str], config: TextConfig, generator: np.random.Generator) -> list[str]:
    groups: list[str] = []
    current: list[str] = []
    limit = 0.0
    for sentence in sentences:
        words = sum(map(_words, current))
        # As near to the drawn length as whole sentences come.
        if current and words + _words(sentence) / 2 > limit:
            groups.append(_join(current, generator))
            current = []
        if not current:
            drawn = generator.lognormal(np.log(config.clip_words_median), config.clip_words_sigma)
            limit = min(drawn, config.clip_words_max - config.sentence_words_max / 2)
        current.append(sentence)
    if current:
        groups.append(_join(current, generator))
    return groups


def _join(sentences: list[str], generator: np.random.Generator) -> str:
    text = sentences[0]
    for sentence in sentences[1:]:
        if text.endswith(".") and generator.random() < _SEMICOLON_SHARE:
            # "I" stays a capital; names lose theirs, which does not change how they are spoken.
            first = sentence if re.match(r"I\b", sentence) else sentence[0].lower() + sentence[1:]
            text = f"{text[:-1]}; {first}"
        else:
            text = f"{text} {sentence}"
    return text


def _mix(main: list[str], extras: list[tuple[list[str], float]]) -> list[str]:
    """Spread extra items evenly among the main ones at the given shares, until they run out."""
    mixed: list[str] = []
    used = [0] * len(extras)
    remaining = iter(main)
    while True:
        for number, (items, share) in enumerate(extras):
            if used[number] < min(share * (len(mixed) + 1), len(items)):
                mixed.append(items[used[number]])
                used[number] += 1
                break
        else:
            text = next(remaining, None)
            if text is None:
                return mixed
            mixed.append(text)
