"""`scripts/prepare.py`: any recordings become a voice worth training on."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from data.errors import InputError
from data.files import writing
from data.manifest import Utterance
from data.preparation.cache import StepCache
from data.preparation.checks import can_be_kept, verdicts
from data.preparation.clips import Clip, clips_of
from data.preparation.config import PrepareConfig
from data.preparation.cutting import aim_for
from data.preparation.executors import Executor, open_executor
from data.preparation.inspection import Inspection, InspectRecordings, inspection_of
from data.preparation.judges import (
    DNSMOS_INSTALL,
    RESEMBLYZER_INSTALL,
    PitchAndTimbre,
    Resemblyzer,
    SoundQuality,
    is_installed,
)
from data.preparation.listening import Listener
from data.preparation.measuring import MeasurePieces, Measures, Piece
from data.preparation.phonemizing import PhonemizeTexts, Spoken
from data.preparation.recognizer import (
    CreateRecognizer,
    Heard,
    RecognizerMissing,
    Whisper,
)
from data.preparation.recordings import Recording, find_recordings
from data.preparation.report import Outcome, write_report
from data.preparation.running import run_step
from data.preparation.voice import clip_ids, refuse_own_files, voice_of, write_voice
from data.text.frontend import TextFrontend
from data.text.lexicon import Lexicon
from data.text.words import WordList, letter_errors

_LOG = logging.getLogger(__name__)


def prepare(config: PrepareConfig, create_recognizer: CreateRecognizer = Whisper) -> Outcome:
    """Prepare a voice.

    Args:
        config: What from, and how.
        create_recognizer: Makes the speech recogniser, in each worker.

    Raises:
        InputError: The input cannot be used, too little good speech is left, or another run is
            preparing the same voice.
    """
    with _locked(voice_of(config).folder), open_executor(config) as executor:
        return Preparation(config, executor, create_recognizer).run()


def _locked(folder: Path) -> AbstractContextManager[Any]:
    """The folder of a voice, which is made, for this run alone."""
    with writing(folder, "output=FOLDER"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(folder / ".lock").acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"{folder}: another run is preparing this voice; wait for it, or give another "
                "speaker=NAME"
            ) from error


class Preparation:
    """One run.

    Args:
        config: What from, and how.
        executor: Where the steps run.
        create_recognizer: Makes the speech recogniser, in each worker.
    """

    def __init__(
        self, config: PrepareConfig, executor: Executor, create_recognizer: CreateRecognizer
    ) -> None:
        self._config = config
        self._executor = executor
        self._create = create_recognizer
        self._cache = StepCache(Path(config.cache).absolute())
        self._lexicon = Path(config.lexicon).absolute() if config.lexicon else None
        self._notes: list[str] = []

    def run(self) -> Outcome:
        """All steps, in order."""
        started = time.monotonic()
        config = self._config
        if self._lexicon is not None:
            Lexicon(self._lexicon)  # its mistakes are told before hours of listening
        recordings = find_recordings(config)
        refuse_own_files(recordings, voice_of(config))
        for code in sorted({r.language or config.language or "" for r in recordings} - {""}):
            TextFrontend(code)  # unknown languages too
        recordings = [replace(r, path=r.path.absolute()) for r in recordings]
        inspections = self._inspect(recordings)
        heard = self._listen(recordings, inspections)
        speech = sum(region.end - region.start for i in inspections for region in i.regions)
        aim = aim_for(speech, config.cut)
        clips = [
            clip
            for recording, inspection, words in zip(recordings, inspections, heard, strict=True)
            for clip in self._clips(recording, inspection, words, aim)
        ]
        clips = self._measure(self._phonemize(clips))
        reasons = verdicts(clips, config.quality, self._embedding())
        keeps_all = config.keep == "all"
        kept = [
            not r or (keeps_all and can_be_kept(c, r)) for c, r in zip(clips, reasons, strict=True)
        ]
        ids = clip_ids(clips, config)
        seconds = sum((c.seconds for c, is_kept in zip(clips, kept, strict=True) if is_kept), 0.0)
        self._warn_of_little_speech(seconds)
        enough = seconds >= config.quality.min_total_seconds
        good = [number for number, is_kept in enumerate(kept) if is_kept]
        utterances = []
        if enough:
            utterances = write_voice(
                [clips[n] for n in good],
                [ids[n] for n in good],
                config,
                self._cache,
                self._executor,
            )
            self._warn_of_nothing_held_out(utterances)
        outcome = Outcome(
            config, clips, reasons, kept, ids, utterances, self._notes, time.monotonic() - started
        )
        write_report(outcome)
        if not enough:
            raise InputError(_too_little(outcome, seconds))
        return outcome

    def _inspect(self, recordings: Sequence[Recording]) -> list[Inspection]:
        step = InspectRecordings(self._config.sample_rate_hz, self._config.cut.activity)
        plain = run_step(step, [r.path for r in recordings], self._cache, self._executor)
        return [
            inspection_of(facts, self._cache.known_digest(r.path) or "")
            for r, facts in zip(recordings, plain, strict=True)
        ]

    def _listen(
        self, recordings: Sequence[Recording], inspections: Sequence[Inspection]
    ) -> list[Heard | None]:
        """What was heard in each recording; None where nobody listened."""
        config = self._config
        wanted = [
            number
            for number, (r, i) in enumerate(zip(recordings, inspections, strict=True))
            if not i.problem and (r.text is None or config.transcribe.check)
        ]
        heard: list[Heard | None] = [None] * len(recordings)
        if not wanted:
            return heard
        try:
            listener = Listener(config, self._cache, self._executor, self._create)
            found = listener([(recordings[n], inspections[n]) for n in wanted])
        except RecognizerMissing as error:
            if any(recordings[number].text is None for number in wanted):
                raise InputError(
                    f"the recordings have no transcripts, and nobody can write them: {error}"
                ) from error
            self._notes.append(f"Transcripts were not checked: {error}")
            return heard
        self._notes += listener.notes
        for number, one in zip(wanted, found, strict=True):
            heard[number] = one
        return heard

    def _clips(
        self, recording: Recording, inspection: Inspection, heard: Heard | None, aim: float
    ) -> list[Clip]:
        language = (
            recording.language or self._config.language or (heard.language if heard else None)
        )
        if language is None and not inspection.problem:
            raise InputError(
                f"{recording.path}: nobody says which language this is; give language=CODE, e.g. en"
            )
        words = heard.words if heard else None
        clips = clips_of(recording, inspection, words, self._config.cut, aim)
        return [replace(clip, language=language or "") for clip in clips]

    def _phonemize(self, clips: Sequence[Clip]) -> list[Clip]:
        """Phonemes of the texts, and how much the recogniser disagrees with given ones."""
        spoken = [Spoken(clip.text, clip.language) for clip in clips if clip.text]
        languages = sorted({one.language for one in spoken})
        versions = {code: TextFrontend(code, self._lexicon).version for code in languages}
        step = PhonemizeTexts(versions, self._lexicon)
        plain = run_step(step, spoken, self._cache, self._executor)
        symbols = dict(zip(spoken, plain, strict=True))
        split: dict[str, Callable[[str], list[str]]] = {code: WordList(code) for code in languages}
        found = []
        for clip in clips:
            if clip.text:
                ids = symbols[Spoken(clip.text, clip.language)]
                clip = replace(clip, symbols=tuple(ids))
            if clip.text and clip.given and clip.heard is not None:
                words = split[clip.language]
                errors, letters = letter_errors(words(clip.text), words(clip.heard))
                rate = round(errors / max(1, letters), 4)
                clip = replace(clip, error_rate=rate, error_letters=errors)
            found.append(clip)
        return found

    def _measure(self, clips: Sequence[Clip]) -> list[Clip]:
        config = self._config
        asks_quality = config.quality.min_dnsmos > 0
        if asks_quality and not is_installed(SoundQuality):
            asks_quality = False
            self._notes.append(f"DNSMOS was not asked; to have it: {DNSMOS_INSTALL}")
        step = MeasurePieces(
            config.sample_rate_hz, config.cut.margin_seconds, asks_quality, self._embedding()
        )
        numbers = [n for n, clip in enumerate(clips) if clip.speech.end > clip.speech.start]
        pieces = [
            Piece(c.recording.path, c.inspection.digest, c.speech, c.room, c.inspection.noise_db)
            for c in (clips[n] for n in numbers)
        ]
        measured = list(clips)
        plain = run_step(step, pieces, self._cache, self._executor)
        for number, values in zip(numbers, plain, strict=True):
            parts = {name: tuple(values[name]) for name in ("voice", "picture")}
            measures = Measures(**{**values, **parts})
            measured[number] = replace(measured[number], measures=measures)
        return measured

    def _embedding(self) -> str:
        if is_installed(Resemblyzer):
            return Resemblyzer.name
        note = f"Voices were compared by {PitchAndTimbre.name} only; better: {RESEMBLYZER_INSTALL}"
        if note not in self._notes:
            self._notes.append(note)
        return PitchAndTimbre.name

    def _warn_of_nothing_held_out(self, utterances: Sequence[Utterance]) -> None:
        wanted = self._config.validation
        if wanted.least and all(utterance.split == "train" for utterance in utterances):
            self._warn(
                f"{len(utterances)} clips are too few to hold one out: training cannot judge "
                "whether the voice got better. Record more, or give a lower cut.max_seconds."
            )

    def _warn_of_little_speech(self, seconds: float) -> None:
        quality = self._config.quality
        if quality.min_total_seconds <= seconds < quality.warn_total_seconds:
            self._warn(
                f"Only {seconds:.0f} s of good speech: the voice will be recognisable but "
                "unsteady; a few minutes are better."
            )

    def _warn(self, note: str) -> None:
        """Says it now, and in the report."""
        self._notes.append(note)
        _LOG.warning("%s", note)


def _too_little(outcome: Outcome, seconds: float) -> str:
    config = outcome.config
    reasons = Counter(reason for reason in outcome.reasons if reason).most_common()
    dropped = ", ".join(f"{count} {reason}" for reason, count in reasons)
    return (
        f"input={config.input}: only {seconds:.1f} s of good speech, "
        f"{config.quality.min_total_seconds:.0f} s are needed and a few minutes are better"
        + (f"; dropped: {dropped}" if dropped else "")
        + f".\n{voice_of(config).report} lists every clip with its reason. Record more, or mend "
        "what it names; keep=all keeps clips that failed a check."
    )
