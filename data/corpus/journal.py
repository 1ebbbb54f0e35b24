"""The record of finished clips: what makes a build resumable."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from data.audio import write_flac
from data.corpus.conditioning import UnusableClip, condition
from data.corpus.config import ConditionConfig
from data.corpus.plan import PlannedClip
from data.manifest import Utterance


@dataclass(frozen=True)
class Finished:
    """A clip that was made, or found unusable."""

    id: str
    """Name of the clip."""
    seconds: float
    """Length; 0 if unusable."""
    dropped: str
    """Why the clip is unusable; empty if it is fine."""
    condition: str
    """Fingerprint of the conditioning it went through."""


class Journal:
    """Makes clips, and remembers across runs which are done.

    `journal.jsonl` gets a line for each finished clip; a line that an interruption cut short is
    ignored, and its clip made again.

    Args:
        target: folder of the corpus.
        config: conditioning; a clip made with another is made again.
    """

    def __init__(self, target: Path, config: ConditionConfig) -> None:
        self._target, self._config = target, config
        settings = json.dumps(asdict(config), sort_keys=True)
        self._condition = hashlib.sha1(settings.encode()).hexdigest()[:12]
        self._file = target / "journal.jsonl"
        target.mkdir(parents=True, exist_ok=True)
        self._finished = self._load()

    def finished(self, clip: PlannedClip) -> Finished | None:
        """The record of a clip, or None if it has to be made."""
        record = self._finished.get(clip.id)
        if record and (record.dropped or self.audio(clip).is_file()):
            return record
        return None

    def finish(self, clip: PlannedClip) -> Finished:
        """Make a clip, write its audio and record it."""
        seconds, dropped = 0.0, ""
        try:
            audio = condition(clip.make(), self._config)
        except UnusableClip as verdict:
            dropped = str(verdict)
        else:
            seconds = round(len(audio) / self._config.sample_rate_hz, 3)
            write_flac(self.audio(clip), audio, self._config.sample_rate_hz)
        record = Finished(clip.id, seconds, dropped, self._condition)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")
        self._finished[clip.id] = record
        return record

    def utterance(self, clip: PlannedClip) -> Utterance | None:
        """The manifest row of a clip, or None if it is not made or unusable."""
        record = self._finished.get(clip.id)
        if record is None or record.dropped:
            return None
        return Utterance(
            id=clip.id,
            audio=self.audio(clip),
            text=clip.text,
            speaker=clip.speaker,
            language=clip.language,
            seconds=record.seconds,
            split=clip.split,
            source=clip.source,
            licence=clip.licence,
        )

    def audio(self, clip: PlannedClip) -> Path:
        """The clip's file."""
        return self._target / "audio" / clip.speaker / f"{clip.id}.flac"

    def _load(self) -> dict[str, Finished]:
        records: dict[str, Finished] = {}
        if not self._file.exists():
            return records
        text = self._file.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            # The next record must not be glued to the one that was cut short.
            with self._file.open("a", encoding="utf-8") as file:
                file.write("\n")
        for line in text.splitlines():
            try:
                record = Finished(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue
            if record.condition == self._condition:
                records[record.id] = record
        return records
