"""The replay set: a few clips of every freely licensed voice, small enough to go with a base."""

import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.audio import read, write_opus
from data.corpus.config import ConditionConfig, ReplaySetConfig
from data.errors import InputError
from data.manifest import Utterance, read_manifest, write_manifest

_log = logging.getLogger(__name__)


def write_replay(
    utterances: Sequence[Utterance], config: ReplaySetConfig, condition: ConditionConfig
) -> list[Utterance]:
    """Write clips and manifest of a replay set; an old one at the place is replaced.

    Args:
        utterances: of the corpus.
        config: which clips, and where to.
        condition: of the corpus; tells the sample rate.

    Returns:
        What was written.

    Raises:
        InputError: no clip fits, or something else than a replay set is at the place.
    """
    target = Path(config.target).resolve()
    _refuse_other_files(target)
    chosen = choose(utterances, config)
    if not chosen:
        raise InputError(
            f"no training clip of {config.min_seconds} to {config.max_seconds} s has one of the "
            f"licences {', '.join(config.licences)}; change replay.licences or the lengths"
        )
    unfinished = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    written = []
    for utterance in chosen:
        path = unfinished / f"{utterance.id}.opus"
        write_opus(path, read(utterance.audio, condition.sample_rate_hz), condition.sample_rate_hz)
        written.append(replace(utterance, audio=path))
    write_manifest(unfinished / "manifest.jsonl", written)
    _refuse_other_files(target)  # again: the clips took a while
    shutil.rmtree(target, ignore_errors=True)
    os.replace(unfinished, target)
    minutes = sum(utterance.seconds for utterance in written) / 60
    _log.info("replay set of %d clips, %.1f minutes: %s", len(written), minutes, target)
    return written


def _refuse_other_files(target: Path) -> None:
    """Refuse a place that holds anything but an earlier replay set, which is deleted as a whole."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    manifest = target / "manifest.jsonl"
    wanted = "give a folder that is new, empty or an earlier replay set"
    if not manifest.is_file():
        raise InputError(f"replay.target={target}: something else is there already; {wanted}")
    ours = {manifest, *(row.audio for row in read_manifest(manifest, check_audio=False))}
    for path in sorted(target.iterdir()):
        if path not in ours or (path != manifest and path.suffix != ".opus"):
            raise InputError(f"replay.target={target}: {path.name} is not of the set; {wanted}")


def choose(utterances: Sequence[Utterance], config: ReplaySetConfig) -> list[Utterance]:
    """Return `config.clips` training clips of each voice, evenly from all of its clips that fit."""
    fitting: dict[str, list[Utterance]] = defaultdict(list)
    for each in utterances:
        fits = config.min_seconds <= each.seconds <= config.max_seconds
        if each.split == "train" and each.licence in config.licences and fits:
            fitting[each.speaker].append(each)
    chosen = []
    for speaker in sorted(fitting):
        clips = fitting[speaker]
        places = np.linspace(0, len(clips) - 1, min(config.clips, len(clips))).astype(int)
        chosen += [clips[place] for place in places]
    return chosen
