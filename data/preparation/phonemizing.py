"""Step 4: the phonemes of each text, by the front end of its language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import InputError, MachineError
from data.preparation.cache import StepCache, fingerprint
from data.preparation.running import Unkept
from data.text.frontend import TextFrontend

_VERSION = 2


@dataclass(frozen=True)
class Spoken:
    """A text to be phonemized."""

    text: str
    """Written language."""
    language: str
    """Language code."""


@dataclass(frozen=True)
class PhonemizeTexts:
    """The step; a task is a `Spoken`."""

    versions: dict[str, str]
    """Version of the front end of each language, lexicon included."""
    lexicon: Path | None
    """Words and how they are said."""
    name: str = "phonemize"
    """Folder in the cache."""

    def key(self, task: Spoken, cache: StepCache, may_read: bool) -> str | None:
        """Text, language and front end."""
        return fingerprint(_VERSION, task.text, task.language, self.versions[task.language])

    def worker(self) -> Phonemizing:
        """One for each chunk of texts."""
        return Phonemizing(self.lexicon)


class Phonemizing:
    """Phonemizes one text after the other."""

    def __init__(self, lexicon: Path | None) -> None:
        self._lexicon = lexicon
        self._frontends: dict[str, TextFrontend] = {}

    def __call__(self, task: Spoken) -> Any:
        """Return the symbols as plain data; none for a text that cannot be said."""
        if task.language not in self._frontends:
            self._frontends[task.language] = TextFrontend(task.language, self._lexicon)
        try:
            return self._frontends[task.language](task.text).ids.tolist()
        except MachineError:  # with the package installed, the next run may say it
            return Unkept([])
        except InputError:
            return []
