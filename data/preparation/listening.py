"""Step 3, all recordings: which windows are listened to, in which language, and which together."""

from __future__ import annotations

import os
from collections.abc import Sequence

from data.preparation.activity import Region
from data.preparation.cache import StepCache
from data.preparation.checks import FORGIVEN_LETTERS
from data.preparation.config import PrepareConfig
from data.preparation.cutting import windows
from data.preparation.executors import Executor
from data.preparation.inspection import Inspection
from data.preparation.packing import packs
from data.preparation.recognizer import CreateRecognizer, Heard, main_language
from data.preparation.recordings import Recording
from data.preparation.running import run_step
from data.preparation.transcription import Pack, TranscribeWindows, Window, heard_of
from data.text.words import WordList, letter_errors

_DETECTING_WINDOWS = 5


class Listener:
    """Hears what is said in recordings.

    Recordings whose transcript is only checked are heard several at a time; those that then seem
    to say something else are heard again alone, so that a good clip is never lost to its
    neighbours.

    Args:
        config: The preparation.
        cache: Of the steps.
        executor: Where the recognisers work.
        create: Makes a recogniser, in each worker.
    """

    def __init__(
        self,
        config: PrepareConfig,
        cache: StepCache,
        executor: Executor,
        create: CreateRecognizer,
    ) -> None:
        self._config = config
        self._cache = cache
        self._executor = executor
        self._create = create
        self.notes: list[str] = []
        """What the user should know of the last call."""

    def __call__(self, pairs: Sequence[tuple[Recording, Inspection]]) -> list[Heard]:
        """Return the words in each recording, in order.

        Args:
            pairs: recordings with speech, and what is known of them.
        """
        config = self._config
        self.notes = []
        runs = [
            [
                Region(run[0].start, run[-1].end)
                for run in windows(inspection.regions, config.transcribe.window_seconds)
            ]
            for _, inspection in pairs
        ]
        language = config.language or self._detected(pairs, runs)
        listened = [
            [
                Window(recording.path, inspection.digest, place, recording.language or language)
                for place in own
            ]
            for (recording, inspection), own in zip(pairs, runs, strict=True)
        ]
        together = [
            number
            for number, (recording, _) in enumerate(pairs)
            if recording.text and len(listened[number]) == 1
        ]
        heard = self._heard_together([listened[number][0] for number in together])
        split: dict[str, WordList] = {}
        known = {}
        for number, one in zip(together, heard, strict=True):
            code = listened[number][0].language or one.language
            if code not in split:
                split[code] = WordList(code)
            if self._agrees(pairs[number][0].text or "", one, split[code]):
                known[number] = one
        rest = [number for number in range(len(pairs)) if number not in known]
        alone = iter(self._transcribe([(w,) for number in rest for w in listened[number]]))
        for number in rest:
            parts = [next(alone)[0] for _ in listened[number]]
            known[number] = Heard(tuple(w for one in parts for w in one.words), parts[0].language)
        return [known[number] for number in range(len(pairs))]

    def _detected(
        self, pairs: Sequence[tuple[Recording, Inspection]], runs: Sequence[Sequence[Region]]
    ) -> str | None:
        """The language of the recordings whose transcripts do not tell it, by the longest."""
        unknown = [
            Window(recording.path, inspection.digest, place, None)
            for (recording, inspection), own in zip(pairs, runs, strict=True)
            for place in own
            if not recording.language
        ]
        if not unknown:
            return None
        unknown.sort(key=lambda window: window.speech.start - window.speech.end)
        tried = self._transcribe([(window,) for window in unknown[:_DETECTING_WINDOWS]])
        language = main_language(one for heard in tried for one in heard)
        self.notes.append(f"Language, as the recogniser hears it: {language}.")
        return language

    def _heard_together(self, alone: Sequence[Window]) -> list[Heard]:
        """What is heard in windows that are joined to packs."""
        packed = packs(
            [window.end - window.start for window in alone],
            [window.language for window in alone],
            [window.digest for window in alone],
            self._config.transcribe.window_seconds,
        )
        found = self._transcribe([tuple(alone[number] for number in pack) for pack in packed])
        heard = {
            number: one
            for pack, ones in zip(packed, found, strict=True)
            for number, one in zip(pack, ones, strict=True)
        }
        return [heard[number] for number in range(len(alone))]

    def _agrees(self, text: str, heard: Heard, words: WordList) -> bool:
        spoken = "".join(word.text for word in heard.words)
        errors, letters = letter_errors(words(text), words(spoken))
        limit = self._config.quality.max_error_rate * max(1, letters)
        return errors <= max(limit, FORGIVEN_LETTERS)

    def _transcribe(self, tasks: Sequence[Pack]) -> list[list[Heard]]:
        config = self._config
        threads = max(1, (os.cpu_count() or 1) // self._executor.workers)
        step = TranscribeWindows(config.transcribe, config.sample_rate_hz, threads, self._create)
        results = run_step(step, tasks, self._cache, self._executor)
        return [[heard_of(plain) for plain in one] for one in results]
