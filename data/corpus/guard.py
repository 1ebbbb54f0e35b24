"""The check that keeps evaluation voices and evaluation sentences out of the corpus."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.errors import InputError
from data.manifest import Utterance

EVALUATION_VOICE = re.compile(r"\b(asterisk|myvoice|allison|june)\b", re.IGNORECASE)
"""Voices and packages of the evaluation; of the Asterisk ones only the Russian is not."""
_ALLOWED_VOICE = re.compile(r"asterisk(-core-sounds)?-ru(-.*)?", re.IGNORECASE)
_MIN_CONTAINED_WORDS = 3
_SHOWN = 5


class EvaluationGuard:
    """Knows what the evaluation uses and refuses it.

    Args:
        sentences: evaluation sentences. A text is refused if it is one of them, or contains one of
            three or more words, whatever the case and punctuation.
    """

    def __init__(self, sentences: Iterable[str] = ()) -> None:
        keys = {_key(sentence) for sentence in sentences} - {""}
        self._short = {key for key in keys if len(key.split()) < _MIN_CONTAINED_WORDS}
        self._long = sorted(keys - self._short)

    def refuses_voice(self, name: str) -> bool:
        """Whether a speaker, source or package name is an evaluation voice's."""
        return bool(EVALUATION_VOICE.search(name)) and not _ALLOWED_VOICE.fullmatch(name)

    def refuses_text(self, text: str) -> bool:
        """Whether a text is, or contains, an evaluation sentence."""
        key = _key(text)
        return key in self._short or any(f" {held} " in f" {key} " for held in self._long)

    def check(self, utterances: Sequence[Utterance]) -> None:
        """Refuse a list of utterances that holds an evaluation voice or sentence.

        Raises:
            InputError: names the offending rows.
        """
        voices = [u for u in utterances if self.refuses_voice(u.speaker)]
        voices += [u for u in utterances if self.refuses_voice(u.source)]
        if voices:
            names = sorted({u.speaker for u in voices})
            raise InputError(
                f"evaluation voices in the corpus: {', '.join(names)} ({len(voices)} rows); remove "
                "their source from the configuration: a judge must not know the voice"
            )
        texts = [u for u in utterances if self.refuses_text(u.text)]
        if texts:
            shown = "; ".join(f"{u.id}: {u.text!r}" for u in texts[:_SHOWN])
            raise InputError(
                f"{len(texts)} rows of the corpus hold evaluation sentences ({shown}); remove them"
            )


def read_sentences(patterns: Iterable[str], root: Path) -> list[str]:
    """Read evaluation sentences.

    Args:
        patterns: files or glob patterns, relative to `root`; `.jsonl` files have a field `text` in
            each row, all others one sentence a line (`#` begins a comment line).
        root: folder that the patterns are relative to.

    Raises:
        InputError: a pattern matches no file, or a row has no text: a check that silently
            checks nothing would be worse than none.
    """
    sentences: list[str] = []
    for pattern in patterns:
        files = sorted(root.glob(pattern))
        if not files:
            raise InputError(
                f"held_out_texts: no file matches {pattern!r} in {root}; correct the pattern"
            )
        for file in files:
            sentences += _read_file(file)
    return sentences


def _read_file(file: Path) -> list[str]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if file.suffix != ".jsonl":
        return lines
    try:
        return [json.loads(line)["text"] for line in lines]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file}: every row must be an object with a field 'text'") from error


def _key(text: str) -> str:
    """The bare words; apostrophes do not count, so that "don't" and "dont" are the same."""
    return " ".join(re.findall(r"\w+", re.sub(r"['’]", "", text.casefold())))
