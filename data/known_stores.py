"""Which feature store belongs to a manifest that has not changed since it was last opened.

To know the features of an utterance its recording must be read. That is done once: afterwards size
and time of each recording tell that it is still the same, as in `make` and `git`.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from data.errors import InputError
from data.features import FeatureStore
from data.files import write_whole
from data.manifest import numbered_lines
from data.mel import AudioConfig
from data.pitch_track import pitch_method
from data.text.frontend import TextFrontend

_FORMAT = 1


class KnownStore:
    """The store of a manifest, if it is known.

    Args:
        manifest: of the utterances.
        audio_config: geometry of audio and mel.
        cache_folder: where stores are kept.
        lexicon: file of words and how they are said.

    Raises:
        InputError: the manifest cannot be read, or a recording is missing.
    """

    def __init__(
        self, manifest: Path, audio_config: AudioConfig, cache_folder: Path, lexicon: Path | None
    ) -> None:
        self._cache_folder = cache_folder
        self._lexicon = lexicon
        self._state = _state_of(manifest, audio_config)
        uses = (os.fspath(manifest.absolute()), asdict(audio_config), str(lexicon or ""))
        name = hashlib.sha256(json.dumps(uses).encode("utf-8", "surrogateescape")).hexdigest()
        self._note = cache_folder / f"known-{name[:20]}.json"

    def open(self) -> FeatureStore | None:
        """Open the store; None if anything has changed, or the store is gone."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return None
        folder = self._cache_folder / str(note.get("store"))
        if note.get("state") != self._state or not (folder / "index.json").is_file():
            return None
        store = FeatureStore(folder)
        return store if note.get("frontends") == self._frontends(store.languages) else None

    def remember(self, store: FeatureStore) -> None:
        """Note that this is the manifest's store."""
        note = {
            "state": self._state,
            "store": store.packed.folder.name,
            "frontends": self._frontends(store.languages),
        }
        write_whole(self._note, json.dumps(note))

    def _frontends(self, languages: list[str]) -> list[str]:
        return [TextFrontend(code, self._lexicon).version for code in languages]


def _state_of(manifest: Path, config: AudioConfig) -> str:
    """Digest of the manifest, and of size and time of all its recordings."""
    digest = hashlib.sha256(json.dumps([_FORMAT, asdict(config), pitch_method()]).encode())
    folder = manifest.parent
    for number, _, line in numbered_lines(manifest):
        digest.update(line.encode())
        try:
            audio = os.path.join(folder, json.loads(line)["audio"])
            status = os.stat(audio)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # a wrong row has no store: reading the manifest will say what is wrong
        except (OSError, ValueError) as error:
            raise InputError(
                f"{manifest}:{number}: audio file {audio} does not exist; audio paths are relative "
                f"to the folder of the manifest ({error})"
            ) from error
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
