"""Builds the base corpus: plan, make what is missing, list what is good."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from data.corpus.config import CorpusConfig
from data.corpus.debian import unpacked
from data.corpus.guard import EvaluationGuard, read_sentences
from data.corpus.human import SOURCES
from data.corpus.journal import Journal
from data.corpus.plan import PlannedClip, Planner, select
from data.corpus.rates import misfits
from data.corpus.replay import write_replay
from data.corpus.teachers import TEACHERS, Teacher, load_teacher
from data.corpus.texts import PACKAGE, read_examples
from data.errors import InputError
from data.manifest import Utterance, read_manifest, write_manifest

_LIST_EVERY = 200
"""The manifest is refreshed after so many clips, so that training can begin on what is there."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusReport:
    """What a corpus holds."""

    hours: dict[str, float]
    """Listed speech by source."""
    clips: dict[str, int]
    """Listed clips by source."""
    speakers: dict[str, int]
    """Speakers by source."""
    dropped: dict[str, dict[str, int]]
    """Unlisted clips by source and reason."""


def main(config: CorpusConfig, root: Path | None = None) -> CorpusReport:
    """Build the corpus that a configuration describes; a second call continues an interrupted one.

    Args:
        config: the recipe, with `target` set.
        root: folder that `held_out_texts` are relative to; the current one by default.

    Returns:
        What the corpus holds; the same is written to `report.json`.

    Raises:
        InputError: a setting, a missing package or program, or an evaluation voice.
    """
    if not config.target:
        raise InputError("say where the corpus goes: target=DIR")
    target = Path(config.target)
    guard = EvaluationGuard(read_sentences(config.held_out_texts, root or Path.cwd()))
    with ExitStack() as stack:
        clips = _plan(config, guard, target / "packages", stack)
        report = make(clips, config, guard)
    if config.replay.target:
        write_replay(read_manifest(target / "manifest.jsonl"), config.replay, config.condition)
    return report


def make(
    clips: Sequence[PlannedClip], config: CorpusConfig, guard: EvaluationGuard
) -> CorpusReport:
    """Make the clips that are not there yet, and list them all.

    `manifest.jsonl` is replaced as a whole every few hundred clips and at the end.
    """
    target = Path(config.target)
    journal = Journal(target, config.condition)
    missing = [clip for clip in clips if journal.finished(clip) is None]
    _log.info("%d clips planned, %d to make", len(clips), len(missing))
    for number, clip in enumerate(missing, start=1):
        journal.finish(clip)
        if number % _LIST_EVERY == 0:
            report = _list(clips, journal, config, guard)
            hours = sum(report.hours.values())
            _log.info("%d of %d clips made, %.2f hours listed", number, len(missing), hours)
    return _list(clips, journal, config, guard)


def _plan(
    config: CorpusConfig,
    guard: EvaluationGuard,
    packages: Path,
    stack: ExitStack,
    teachers: Mapping[str, Callable[[str], Teacher]] = TEACHERS,
) -> list[PlannedClip]:
    """All clips; the packages stay unpacked while the stack is open."""
    planner = Planner(config, guard)
    clips: list[PlannedClip] = []
    for name, source in select(config.sources, SOURCES).items():
        root = stack.enter_context(unpacked(source.packages, packages))
        clips += planner.human(name, source, root)
    if config.all_teachers:
        root = stack.enter_context(unpacked([PACKAGE], packages))
        examples = read_examples(root / "usr/share/wordnet")
        load = cache(lambda name, base: load_teacher(name, base, teachers))
        clips += planner.english(examples, load)
    planner.check_development_voices()
    return clips


def _list(
    clips: Sequence[PlannedClip], journal: Journal, config: CorpusConfig, guard: EvaluationGuard
) -> CorpusReport:
    """Write manifest and report of the clips that are made and good."""
    dropped: dict[str, Counter[str]] = defaultdict(Counter)
    made: list[Utterance] = []
    for clip in clips:
        record, utterance = journal.finished(clip), journal.utterance(clip)
        if record and utterance:
            made.append(utterance)
        elif record:
            dropped[clip.source][record.dropped] += 1
    wrong = misfits(made, config.rate_deviations, config.rate_tolerance)
    for utterance in made:
        if utterance.id in wrong:
            dropped[utterance.source]["length does not fit the text"] += 1
    listed = [utterance for utterance in made if utterance.id not in wrong]
    guard.check(listed)
    report = _report(listed, dropped)
    target = Path(config.target)
    if listed:
        write_manifest(target / "manifest.jsonl", listed)
    text = json.dumps(asdict(report), indent=2) + "\n"
    (target / "report.json").write_text(text, encoding="utf-8")
    return report


def _report(listed: Sequence[Utterance], dropped: Mapping[str, Mapping[str, int]]) -> CorpusReport:
    seconds: Counter[str] = Counter()
    clips: Counter[str] = Counter()
    speakers: dict[str, set[str]] = defaultdict(set)
    for utterance in listed:
        seconds[utterance.source] += utterance.seconds  # type: ignore[assignment]
        clips[utterance.source] += 1
        speakers[utterance.source].add(utterance.speaker)
    return CorpusReport(
        hours={source: round(total / 3600, 3) for source, total in seconds.items()},
        clips=dict(clips),
        speakers={source: len(names) for source, names in speakers.items()},
        dropped={source: dict(reasons) for source, reasons in dropped.items()},
    )
