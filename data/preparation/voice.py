"""What a preparation leaves: audio, manifest, and the data group that training finds."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import OmegaConf

from data.errors import InputError
from data.files import writing
from data.manifest import Utterance, read_manifest, write_manifest
from data.preparation.activity import Region
from data.preparation.cache import StepCache, fingerprint
from data.preparation.clips import Clip
from data.preparation.config import PrepareConfig
from data.preparation.executors import Executor
from data.preparation.recordings import Recording
from data.preparation.rendering import RENDER_VERSION, RenderClips, Rendering
from data.preparation.running import run_step
from data.preparation.split import held_out

_LOG = logging.getLogger(__name__)
_STEM_CHARACTERS = 40
_DATA_HEAD = "# Written by scripts/prepare.py; paths are relative to the repository.\n"
_DATA_LINE = re.compile(r"(name|language|manifest|lexicon): ")
_CLIP_ID = re.compile(r".+-[0-9a-f]{8}(-[0-9]+)?")  # as `clip_ids` makes them


@dataclass(frozen=True)
class Voice:
    """Where everything of a voice lies."""

    folder: Path
    """`voices/NAME`."""
    data: Path
    """`voices/data/NAME.yaml`."""

    @property
    def manifest(self) -> Path:
        """The list of utterances."""
        return self.folder / "manifest.jsonl"

    @property
    def audio(self) -> Path:
        """Folder of the clips."""
        return self.folder / "audio"

    @property
    def lexicon(self) -> Path:
        """Copy of the user's lexicon, if there is one."""
        return self.folder / "lexicon.tsv"

    @property
    def report(self) -> Path:
        """For people."""
        return self.folder / "report.html"

    @property
    def facts(self) -> Path:
        """The report for programs."""
        return self.folder / "report.json"


def voice_of(config: PrepareConfig) -> Voice:
    """Return the places of a voice."""
    output = Path(config.output)
    return Voice(output / config.speaker, output / "data" / f"{config.speaker}.yaml")


def refuse_own_files(recordings: Sequence[Recording], voice: Voice) -> None:
    """Refuse recordings in the folder that the preparation writes: it removes and replaces files.

    Raises:
        InputError: One of them lies there.
    """
    folder = voice.folder.resolve()
    for recording in recordings:
        if recording.path.resolve().is_relative_to(folder):
            raise InputError(
                f"{recording.path}: lies in {voice.folder}, which this preparation writes; move "
                "the recordings to another folder, or give another speaker=NAME"
            )


def clip_ids(clips: Sequence[Clip], config: PrepareConfig) -> list[str]:
    """Name clips by recording and content: the same clip has the same name in every run."""
    used: dict[str, int] = {}
    ids = []
    for clip in clips:
        place = clip.measures or clip.speech
        content = fingerprint(
            RENDER_VERSION,
            clip.inspection.digest,
            place.start,
            place.end,
            config.sample_rate_hz,
            asdict(config.sound),
        )
        stem = re.sub(r"[^A-Za-z0-9]+", "-", clip.recording.path.stem)[:_STEM_CHARACTERS].strip("-")
        name = f"{stem or 'clip'}-{content[:8]}"
        used[name] = used.get(name, 0) + 1
        ids.append(name if used[name] == 1 else f"{name}-{used[name]}")
    return ids


def write_voice(
    clips: Sequence[Clip],
    ids: Sequence[str],
    config: PrepareConfig,
    cache: StepCache,
    executor: Executor,
) -> list[Utterance]:
    """Write the kept clips, the manifest and the data group; removes clips of the earlier run.

    Args:
        clips: measured and found good.
        ids: name of each.
        config: the preparation.
        cache: of the steps.
        executor: where the files are written.
    """
    voice = voice_of(config)
    held = held_out(
        [c.text for c in clips], [c.seconds for c in clips], config.validation, config.seed
    )
    utterances = [
        Utterance(
            id=name,
            audio=voice.audio / f"{name}.flac",
            text=clip.text,
            speaker=clip.recording.speaker,
            language=clip.language,
            seconds=round(clip.seconds, 3),
            split="validation" if is_held else "train",
            source=clip.recording.path.name,
            licence=config.licence,
        )
        for clip, name, is_held in zip(clips, ids, held, strict=True)
    ]
    renderings = []
    for clip, utterance in zip(clips, utterances, strict=True):
        if clip.measures is not None and not utterance.audio.is_file():
            place = Region(clip.measures.start, clip.measures.end)
            regions = clip.inspection.regions if config.sound.denoise else ()
            target = utterance.audio.absolute()
            renderings.append(Rendering(clip.recording.path.absolute(), place, regions, target))
    run_step(RenderClips(config.sample_rate_hz, config.sound), renderings, cache, executor)
    outdated = _listed_clips(voice) - {utterance.audio for utterance in utterances}
    with writing(voice.folder, "output=FOLDER"):
        write_manifest(voice.manifest, utterances)
        _keep_lexicon(voice, config.lexicon)
        _write_data_group(voice, config, {utterance.language for utterance in utterances})
        for file in outdated:
            file.unlink(missing_ok=True)
    return utterances


def _listed_clips(voice: Voice) -> set[Path]:
    """The clips that an earlier preparation wrote and listed; other files are the user's."""
    try:
        rows = read_manifest(voice.manifest, check_audio=False)
    except InputError:  # none, or not ours
        return set()
    return {
        row.audio
        for row in rows
        if _CLIP_ID.fullmatch(row.id) and row.audio == voice.audio / f"{row.id}.flac"
    }


def _keep_lexicon(voice: Voice, lexicon: str | None) -> None:
    """Copy the user's lexicon; an earlier copy that is in use no more is set aside, not deleted.

    The user may have edited the copy.
    """
    if lexicon is not None:
        if Path(lexicon).resolve() != voice.lexicon.resolve():
            shutil.copyfile(lexicon, voice.lexicon)
        return
    was_used = voice.data.is_file() and "\nlexicon:" in voice.data.read_text(encoding="utf-8")
    if was_used and voice.lexicon.is_file():
        content = hashlib.sha256(voice.lexicon.read_bytes()).hexdigest()[:8]
        aside = voice.folder / f"lexicon-{content}.tsv"
        os.replace(voice.lexicon, aside)
        _LOG.warning("%s is not used without lexicon=FILE; set aside as %s", voice.lexicon, aside)


def _write_data_group(voice: Voice, config: PrepareConfig, languages: set[str]) -> None:
    """The YAML by which `scripts/train.py data=NAME` finds the voice."""
    group = {
        "name": config.speaker,
        # With several languages, empty allows all of them.
        "language": next(iter(languages)) if len(languages) == 1 else "",
        "manifest": voice.manifest.as_posix(),
    }
    if config.lexicon is not None:
        group["lexicon"] = voice.lexicon.as_posix()
    voice.data.parent.mkdir(parents=True, exist_ok=True)
    _set_aside_own(voice.data)
    text = _DATA_HEAD + OmegaConf.to_yaml(OmegaConf.create(group))
    voice.data.write_text(text, encoding="utf-8")


def _set_aside_own(path: Path) -> None:
    """Keeps a data group that the user wrote, or added keys to, under another name."""
    if not path.is_file():
        return
    content = path.read_bytes()
    lines = content.decode("utf-8", "replace").removeprefix(_DATA_HEAD).splitlines()
    if content.startswith(_DATA_HEAD.encode()) and all(_DATA_LINE.match(line) for line in lines):
        return
    aside = path.with_name(f"{path.name}.{hashlib.sha256(content).hexdigest()[:8]}")
    os.replace(path, aside)
    _LOG.warning("%s was not as this command writes it; set aside as %s", path, aside)
