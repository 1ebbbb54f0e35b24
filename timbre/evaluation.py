"""`scripts/evaluate.py`: a voice beside human recordings, copies of them, the base and others.

Each row isolates one link: copy-synthesis the vocoder, copies through tokens the decoder, the
voice's own sentences GPT; zero-shot shows what fine-tuning added, another speaker what similarity
means nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from data.audio import write_wav
from data.errors import InputError
from data.mel import LogMel
from data.text.frontend import TextFrontend
from gpt.sampling import SamplingConfig
from timbre.bundle import BASE, Bundle, find_bundle, is_bundle, load_bundle, mean_embedding
from timbre.evaluation_report import ABOUT, Row, table, write_reports
from timbre.judges.clip import Clip
from timbre.judges.panel import Panel
from timbre.judges.recognizer import TranscribeConfig
from timbre.recordings import read_recordings
from timbre.synthesizer import Synthesizer
from timbre.tokens import Tokenizing

_LOG = logging.getLogger(__name__)

SENTENCES = Path(__file__).resolve().parent.parent / "assets" / "sentences"
_OTHER_VOICES = 6
_OTHER_SENTENCES = 12
_PROMPT_RECORDINGS = 40  # as many as a bundle's own voice is the mean of


@dataclass(frozen=True)
class EvaluationConfig:
    """What `scripts/evaluate.py` is told."""

    voice: str
    """A bundle, a run, `base`, or the name of a trained voice."""
    reference: str | None = None
    """Recordings of the speaker that the voice was not made from: a manifest (its validation rows
    if it has any; with texts, errors are measured too), a folder or a file."""
    sentences: str | None = None
    """UTF-8 file, one sentence a line; None: assets/sentences/LANGUAGE.txt."""
    prompt: str | None = None
    """Recordings that the zero-shot row clones; None: those that the voice was trained on."""
    base: str | None = None
    """The bundle of the zero-shot row; None: the bundled base, if there is one."""
    other: str | None = None
    """Recordings of somebody else; None: other voices of the base."""
    speaker: str | None = None
    """Which voice of a bundle that has several."""
    language: str | None = None
    """Language of the sentences; None: the voice's, or English."""
    output: str | None = None
    """Folder of report and sounds; None: `evaluation/` in the voice's run, else
    `runs/evaluation/NAME`."""
    recordings: int = 24
    """Most recordings that are read from `reference` and from `other`, taken evenly."""
    repeats: int = 1
    """Each sentence is spoken so many times, with other seeds: 24 sentences said once know their
    word errors to about 4 in a hundred only."""
    temperature: float = 0.6
    """Of the tokens."""
    seed: int = 1
    """Of the first sentence; each has its own."""
    transcribe: TranscribeConfig = field(default_factory=TranscribeConfig)
    """The speech recogniser."""

    def __post_init__(self) -> None:
        for name in ("recordings", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; give 0 or more")


def evaluate(config: EvaluationConfig) -> str:
    """Judges a voice and writes report.md, report.json and the sounds.

    Returns:
        The table, to be printed.

    Raises:
        InputError: Something that was asked for cannot be used.
    """
    evaluation = Evaluation(config)
    rows = list(evaluation.rows())
    write_reports(evaluation.output, evaluation.bundle.name, config.seed, rows, evaluation.absent)
    return table(rows, evaluation.absent) + f"\n{evaluation.output / 'report.md'}"


class Evaluation:
    """All that is compared: loads it, makes the clips of each row, and lets the panel judge them.

    Args:
        config: What to judge.

    Raises:
        InputError: Voice, recordings, sentences or language cannot be used.
    """

    def __init__(self, config: EvaluationConfig) -> None:
        self.config = config
        folder = find_bundle(config.voice)
        self.run = folder.parent if (folder.parent / "config.yaml").is_file() else None
        self.bundle = load_bundle(folder)
        self.language = config.language or self.bundle.language or "en"
        self.frontend = TextFrontend(self.language, self.bundle.lexicon)
        self.sentences = _read_sentences(config.sentences, self.language)
        self.references = self._recordings(config.reference, "validation", config.recordings)
        self.others = self._recordings(config.other, "validation", config.recordings)
        self.absent: dict[str, str] = {}
        self.base = self._load_base(folder)
        self.voice = self._voice()
        self.output = self._output_folder()
        judge = self.base or self.bundle
        self.panel = Panel(
            judge.networks, judge.audio, self.references, config.transcribe, self.language
        )
        self.absent |= self.panel.absent

    def rows(self, names: Collection[str] = tuple(ABOUT)) -> Iterator[Row]:
        """Each of the named rows, judged; its sounds are in the output folder."""
        makers: dict[str, Callable[[], list[Clip]]] = {
            "voice": lambda: self._spoken(self.voice),
            "human": lambda: self.references,
            "copy-synthesis": self._copies,
            "copy through tokens": self._token_copies,
            "zero-shot": self._zero_shot,
            "another speaker": self._another_speaker,
        }
        for name, make in makers.items():
            if name not in names or not (clips := make()):
                continue
            for clip in clips if clips is not self.references else []:
                path = self.output / name.replace(" ", "-") / f"{clip.name}.wav"
                write_wav(path, clip.audio, clip.sample_rate_hz)
            _LOG.info("judging %s: %d clips", name, len(clips))
            yield Row(name, clips, self.panel(clips))

    def _voice(self) -> Synthesizer:
        """The judged voice: the bundle's, or for a base without a chosen one, zero-shot."""
        if self.config.speaker is not None or len(self.bundle.speakers) == 1:
            return Synthesizer(self.bundle, speaker=self.config.speaker)
        if self.config.prompt is not None:
            return Synthesizer(_cloned(self.bundle, self._prompt_mels()))
        raise InputError(
            f"voice={self.config.voice} has {len(self.bundle.speakers)} speakers: choose one with "
            f"speaker=NAME ({', '.join(self.bundle.speakers)}), or clone one with prompt=RECORDINGS"
        )

    def _spoken(self, voice: Synthesizer, sentences: list[str] | None = None) -> list[Clip]:
        clips = []
        texts = self.sentences if sentences is None else sentences
        for index, text in enumerate(texts * self.config.repeats):
            started = time.monotonic()
            audio = voice.speak(
                text,
                language=self.language,
                sampling=SamplingConfig(temperature=self.config.temperature),
                seed=self.config.seed + index,
            )
            spent = time.monotonic() - started
            clips.append(
                Clip(
                    name=f"{index:03d}",
                    audio=audio,
                    sample_rate_hz=voice.sample_rate_hz,
                    text=text,
                    phonemes=self.frontend(text),
                    spent_seconds=spent,
                )
            )
        return clips

    @torch.inference_mode()
    def _copies(self) -> list[Clip]:
        """The recordings' mels through the vocoder."""
        copies = []
        for clip in self.references:
            started = time.monotonic()
            audio = self.voice.networks.vocoder(self._mel(clip)[None])[0]
            copies.append(_copy(clip, audio, time.monotonic() - started))
        return copies

    @torch.inference_mode()
    def _token_copies(self) -> list[Clip]:
        """The recordings' own tokens and durations through GPT's latents, decoder and vocoder."""
        networks, z_spk = self.voice.networks, self.voice.z_spk
        if not networks.can_tokenize:
            return []
        tokenize = Tokenizing(networks, self.bundle.audio, torch.device("cpu"))
        copies = []
        for index, clip in enumerate(self.references):
            if clip.phonemes is None:
                continue
            started = time.monotonic()
            ids = clip.phonemes.ids
            tokenized = tokenize([(self._mel(clip).numpy(), ids)])[0]
            if tokenized is None:
                _LOG.warning("%s: its text does not fit its sound; not copied", clip.name)
                continue
            tokens, durations = (torch.as_tensor(part)[None].long() for part in tokenized)
            lengths = torch.tensor([tokens.shape[1]])
            latents = networks.gpt(
                torch.as_tensor(ids)[None],
                torch.as_tensor(clip.phonemes.marks)[None],
                torch.tensor([len(ids)]),
                tokens,
                lengths,
                durations,
                z_spk,
            ).latents
            generator = torch.Generator().manual_seed(self.config.seed + index)
            mel = networks.sovits.decoder.sample(latents, lengths, z_spk, generator)
            audio = networks.vocoder(mel.float(), generator=generator)[0]
            copies.append(_copy(clip, audio, time.monotonic() - started))
        return copies

    def _zero_shot(self) -> list[Clip]:
        """The un-tuned base, given the same recordings that the voice was made from."""
        if self.base is None or self.base is self.bundle:
            return []
        mels = self._prompt_mels()
        if not mels:
            self.absent["zero-shot"] = (
                "the recordings that the voice was trained on are not known: prompt=RECORDINGS"
            )
            return []
        return self._spoken(Synthesizer(_cloned(self.base, mels)))

    def _another_speaker(self) -> list[Clip]:
        """Somebody else: what similarity is worth nothing."""
        if self.others:
            return [replace(clip, recording="") for clip in self.others]
        names = [] if self.base is None else self.base.speakers
        if self.base is None or not names:
            self.absent["another speaker"] = "no base with other voices: other=RECORDINGS"
            return []
        chosen = names[:: -(-len(names) // _OTHER_VOICES)]
        clips = []
        for index, name in enumerate(chosen):
            texts = self.sentences[:_OTHER_SENTENCES][index :: len(chosen)]
            spoken = self._spoken(Synthesizer(self.base, speaker=name), texts)
            clips += [replace(clip, name=f"{name}-{clip.name}") for clip in spoken]
        return clips

    def _mel(self, clip: Clip) -> Tensor:
        mel: Tensor = LogMel(self.bundle.audio)(torch.from_numpy(clip.audio)[None])[0]
        return mel

    def _prompt_mels(self) -> list[Tensor]:
        source, seconds = self.config.prompt, 0.0
        if source is None and self.run is not None:
            source, seconds = _trained_on(self.run)
        clips = self._recordings(source, "train", _PROMPT_RECORDINGS, seconds)
        return [self._mel(clip) for clip in clips]

    def _recordings(
        self, source: str | None, split: str, limit: int, most_seconds: float = 0.0
    ) -> list[Clip]:
        if source is None:
            return []
        rate = self.bundle.audio.sample_rate_hz
        speaker = self.config.speaker
        path = Path(source)
        clips = read_recordings(path, rate, self.frontend, split, limit, speaker, most_seconds)
        return [replace(clip, speaker="") for clip in clips]

    def _load_base(self, voice: Path) -> Bundle | None:
        if self.config.base is None and not is_bundle(BASE):
            self.absent["zero-shot"] = "no base is bundled: base=BUNDLE"
            return None
        folder = find_bundle(self.config.base or "base")
        if folder.resolve() == voice.resolve():
            self.absent["zero-shot"] = "the voice is the base itself"
            return self.bundle
        base = load_bundle(folder)
        if base.audio != self.bundle.audio:
            raise InputError(
                f"base {folder} was trained on {base.audio}, the voice on {self.bundle.audio}; "
                "give the base that the voice was made from"
            )
        return base

    def _output_folder(self) -> Path:
        if self.config.output is not None:
            return Path(self.config.output)
        if self.run is not None:
            return self.run / "evaluation"
        return Path("runs") / "evaluation" / self.bundle.name


def _read_sentences(path: str | None, language: str) -> list[str]:
    file = Path(path) if path is not None else SENTENCES / f"{language.split('-')[0]}.txt"
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"sentences: {file} cannot be read as UTF-8 text ({error}); give a file with one "
            "sentence a line: sentences=FILE"
        ) from error
    if sentences := [line.strip() for line in lines if line.strip()]:
        return sentences
    raise InputError(f"sentences: {file} is empty; write one sentence a line")


def _trained_on(run: Path) -> tuple[str | None, float]:
    """The manifest that a run was trained on, if it is still there, and its `train_seconds`."""
    try:
        data = OmegaConf.load(run / "config.yaml").data
        manifest, seconds = data.manifest, float(data.get("train_seconds", 0.0))
    except (OSError, OmegaConfBaseException):
        return None, 0.0
    return (str(manifest), seconds) if Path(manifest).is_file() else (None, 0.0)


def _cloned(bundle: Bundle, mels: list[Tensor]) -> Bundle:
    """The bundle with the voice of some recordings as its only one."""
    embedding = mean_embedding(bundle.networks, mels)
    return replace(bundle, speakers=["prompt"], embeddings=embedding)


def _copy(clip: Clip, audio: Tensor, spent_seconds: float) -> Clip:
    samples = audio.float().clamp(-1.0, 1.0).cpu().numpy()
    return replace(clip, audio=samples, spent_seconds=spent_seconds)
