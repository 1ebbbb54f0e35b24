"""The voices that are served, and the few of them that are in memory."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from data.errors import InputError
from timbre.bundle import Header, find_bundle, is_bundle, load_bundle, read_header
from timbre.synthesizer import Synthesizer


class Shelf:
    """Voices by name; only these are ever read, whatever a request asks for.

    Args:
        voices: See `ServeConfig.voice`.
        loaded: Voices kept in memory.
        weights: See `timbre.synthesizer.Synthesizer`.

    Raises:
        InputError: A voice is not there, cannot speak, or two have one name.
    """

    def __init__(self, voices: str, loaded: int = 4, weights: str | None = None) -> None:
        self._loaded, self._weights = loaded, weights
        self._folders: dict[str, Path] = {}
        self.headers: dict[str, Header] = {}
        self._memory: OrderedDict[str, Synthesizer] = OrderedDict()
        for word in voices.split(","):
            for name, folder in _found(word.strip()):
                self._add(name, folder)

    def take(self, name: str, speaker: str | None) -> Synthesizer:
        """A voice, loaded if it is not; not to be called by two threads at once.

        Args:
            name: The voice; empty: the first.
            speaker: Which one, if it has several.

        Raises:
            UnknownVoiceError: It is not served.
            InputError: It is damaged, or has no such speaker.
        """
        name = name or next(iter(self._folders))
        if name not in self._folders:
            raise UnknownVoiceError(f"no voice {name!r}; there are {', '.join(self._folders)}")
        if name not in self._memory:
            while len(self._memory) >= self._loaded:
                self._memory.popitem(last=False)
            bundle = load_bundle(self._folders[name])
            self._memory[name] = Synthesizer(
                bundle, speaker=bundle.speakers[0], weights=self._weights
            )
        self._memory.move_to_end(name)
        return self._memory[name].as_speaker(speaker)

    def _add(self, name: str, folder: Path) -> None:
        if name in self._folders:
            raise InputError(
                f"two voices are called {name!r}: {self._folders[name]} and {folder}; rename a "
                "folder"
            )
        header = read_header(folder)
        if not header.speakers:
            raise InputError(f"{folder} has no voice of its own; train one from it first")
        self._folders[name], self.headers[name] = folder, header


class UnknownVoiceError(InputError):
    """A voice that is not served."""


def _found(word: str) -> list[tuple[str, Path]]:
    """The bundles that a word of `voice` means, with their names."""
    inside = sorted(path for path in Path(word).glob("*") if is_bundle(path)) if word else []
    if inside and not is_bundle(Path(word)) and not is_bundle(Path(word) / "voice"):
        return [(path.name, path) for path in inside]
    folder = find_bundle(word)
    is_name = word == "base" or not Path(word).is_dir()
    return [(word if is_name else read_header(folder).name or folder.name, folder)]
