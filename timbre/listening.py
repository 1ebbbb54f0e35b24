"""Listening while a voice is trained: it speaks held-out texts, judges say what they heard."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from data.audio import write_wav
from data.datamodule import VoiceDataModule
from data.files import write_whole
from data.manifest import Utterance, read_manifest
from data.text.frontend import TextFrontend
from gpt.sampling import SamplingConfig
from gpt.tokenizer import SemanticTokenizer
from sovits.speaker_encoder import SpeakerEncoder
from timbre.bundle import mean_embedding
from timbre.config import RunConfig
from timbre.judges.clip import Clip, Judge, Measure
from timbre.judges.mel_distance import MelDistance
from timbre.judges.optional import NotAvailableError
from timbre.judges.phonemes import PhonemeErrors
from timbre.judges.prosody import Pace, Pitch
from timbre.judges.quality import INSTALL as INSTALL_DNSMOS
from timbre.judges.quality import Quality
from timbre.judges.recognizer import INSTALL as INSTALL_RECOGNISER
from timbre.judges.recognizer import Recognizer
from timbre.judges.similarity import Similarity
from timbre.judges.speaker import Resemblyzer
from timbre.judges.spectrum import LongTermSpectrum, closeness
from timbre.judges.voice_vector import VoiceVector
from timbre.networks import Networks
from timbre.recordings import clip_of, evenly
from timbre.speech import speak_all

_LOG = logging.getLogger(__name__)

SENTENCES = Path(__file__).resolve().parent.parent / "assets" / "sentences" / "listening"
_ERRORS = {"wer", "cer", "phoneme_error"}
"""Capped at wholly wrong: one sentence in which a recogniser dreams on would outweigh the rest."""
_ASKED = {
    "wer": ("recogniser", INSTALL_RECOGNISER),
    "cer": ("recogniser", INSTALL_RECOGNISER),
    "dnsmos": ("dnsmos", INSTALL_DNSMOS),
}
"""Measures that only a judge of `validation.judges` has, and how to have the judge."""
_SEED = 1  # equal at every validation, so that values compare
_RECORDINGS = 24  # that similarity, pitch and pace are compared with, all speakers together
_LONGEST_SECONDS = 12.0  # of a recording whose text is spoken: validation must stay cheap


def open_listener(config: RunConfig, data: VoiceDataModule, samples: Path) -> Listener | None:
    """The run's listener; None where nothing that speaks is trained, or nothing is held out."""
    wanted = config.validation.clips or config.validation.sentences
    if not wanted or not {"gpt", "sovits"} & set(config.train.modules):
        return None
    listener = Listener(config, data, samples)
    return listener if listener.texts else None


class Listener:
    """Speaks held-out texts and some fixed sentences, with fixed seeds, and measures the sound.

    The voice is what the bundle would hold: the mean over the training recordings. It is compared
    with held-out recordings, never with those.

    Args:
        config: The run.
        data: Gives the training recordings; set up.
        samples: Folder for what was spoken.
    """

    def __init__(self, config: RunConfig, data: VoiceDataModule, samples: Path) -> None:
        self.config = config
        self.data = data
        self.samples = samples
        self._frontends: dict[str, TextFrontend] = {}
        self._frozen: list[Judge] = []
        self._absent: dict[str, str] = {}
        spoken, compared = self._held_out()
        self.recordings = [self._clip(row) for row in compared]
        """Held-out recordings of the speakers that are listened to."""
        chosen = {row.id for row in spoken}
        self.texts = [clip for clip in self.recordings if clip.name in chosen]
        """What is spoken: clips whose sound is not used."""
        self.texts += self._fixed_sentences()
        self._prosody: list[Judge] = [Pitch(config.audio), Pace()]
        self._optional = self._asked() if self.recordings else []
        self._spectrum = self._alike() if self.recordings else []
        self._others = [
            MelDistance(config.audio, self.recordings),
            *self._prosody,
            *self._spectrum,
            *self._optional,
        ]
        self._usual = self._means(self._prosody, self.recordings)

    def __call__(self, networks: Networks, update: int) -> dict[str, float]:
        """Speaks and measures; what was spoken is written to the samples' folder.

        Args:
            networks: In evaluation mode.
            update: Names the files.

        Returns:
            What the judges say, without what cannot be measured. `error_rate` is the recogniser's
            if that is asked, else `phoneme_error`; `similarity` Resemblyzer's if that is asked,
            else `similarity_spectrum`.
        """
        spoken = self._speak(networks)
        for clip in spoken:
            path = self.samples / f"{update:06d}-{clip.name}.wav"
            write_wav(path, clip.audio, clip.sample_rate_hz)
        values = self._means([*self._own(networks), *self._others], spoken)
        rate_ratio = values.pop("rate", math.nan) / self._usual["rate"]
        values |= {
            "f0_error": 12 * abs(math.log2(values.pop("f0", math.nan) / self._usual["f0"])),
            "rate_ratio": rate_ratio,
            "rate_error": abs(math.log(rate_ratio)),
        }
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def human(self, networks: Networks) -> dict[str, float]:
        """What the judges say of the held-out recordings themselves: what could be reached."""
        judges = [*self._own(networks), *self._spectrum, *self._optional]
        values = self._means(judges, self.recordings)
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def unscored(self, heard: Collection[str]) -> str:
        """What the score needs but nobody measured, and how to have it; empty: nothing.

        Args:
            heard: Measures of a voice that can speak.
        """
        for name in self.config.validation.score:
            if name in heard:
                continue
            judge, install = _ASKED.get(name, ("", ""))
            if judge in self._absent:
                return f"{name} needs the judge {judge}, {self._absent[judge]}"
            if judge and judge not in self.config.validation.judges:
                judges = ",".join([*self.config.validation.judges, judge])
                return f"{name} needs validation.judges=[{judges}] ({install})"
            return f"{name} cannot be measured of this voice: leave it out"
        return ""

    def freeze(self, networks: Networks, path: Path) -> None:
        """Keeps the present speaker encoder and tokenizer as judges: training changes the encoder.

        Args:
            networks: Copied from.
            path: Where a resumed run will find the copy.
        """
        judge = copy.deepcopy(_judging_part(networks))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save({name: t.contiguous() for name, t in judge.state_dict().items()}))
        self._frozen = self._judges_of(judge)

    def restore(self, networks: Networks, path: Path) -> None:
        """Takes the judges of a resumed run back."""
        judge = copy.deepcopy(_judging_part(networks))
        judge.load_state_dict(load_file(path))
        self._frozen = self._judges_of(judge)

    def _held_out(self) -> tuple[list[Utterance], list[Utterance]]:
        """The rows whose texts are spoken, and those that their speakers are compared with."""
        rows = read_manifest(self.config.data.manifest, check_audio=False)
        known = set(self.data.own_speakers)
        rows = [row for row in rows if row.split == "validation" and row.speaker in known]
        short = [row for row in rows if row.seconds <= _LONGEST_SECONDS] or rows
        spoken = evenly(short, self.config.validation.clips)
        speakers = dict.fromkeys(row.speaker for row in spoken or rows[:1])
        compared = {row.id: row for row in spoken}
        for speaker in speakers:
            own = [row for row in rows if row.speaker == speaker]
            compared |= {row.id: row for row in evenly(own, _RECORDINGS // len(speakers) or 1)}
        return spoken, list(compared.values())

    def _fixed_sentences(self) -> list[Clip]:
        if not self.recordings:
            return []
        language, speaker = self.config.data.language or "en", self.recordings[0].speaker
        file = SENTENCES / f"{language.split('-')[0]}.txt"
        if not file.is_file():
            return []
        lines = file.read_text(encoding="utf-8").splitlines()[: self.config.validation.sentences]
        rate = self.config.audio.sample_rate_hz
        silence = np.zeros(0, dtype=np.float32)
        return [
            Clip(f"s{n}", silence, rate, line, self._frontend(language)(line), speaker=speaker)
            for n, line in enumerate(lines)
        ]

    def _speak(self, networks: Networks) -> list[Clip]:
        speakers = {clip.speaker for clip in self.texts}
        voices = {
            name: mean_embedding(networks, self.data.recordings_of(name)) for name in speakers
        }
        z_spk = torch.cat([voices[clip.speaker] for clip in self.texts])
        generator = torch.Generator(z_spk.device).manual_seed(_SEED)
        phonemes = [clip.phonemes for clip in self.texts if clip.phonemes is not None]
        speeches = speak_all(networks, phonemes, z_spk, SamplingConfig(), generator)
        return [
            Clip(
                name=text.name,
                audio=speech.audio.cpu().numpy(),
                sample_rate_hz=text.sample_rate_hz,
                text=text.text,
                phonemes=text.phonemes,
                speaker=text.speaker,
            )
            for text, speech in zip(self.texts, speeches, strict=True)
        ]

    def _means(self, judges: list[Judge], clips: list[Clip]) -> dict[str, float]:
        measures: dict[str, Measure] = {}
        for judge in judges:
            measures |= judge(clips)
        for name in _ERRORS & measures.keys():
            measures[name] = measures[name].capped(1.0)
        values = {name: measure.mean for name, measure in measures.items()}
        if "phoneme_error" in values:
            values["error_rate"] = values.get("wer", values["phoneme_error"])
            values.setdefault("similarity", values["similarity_spectrum"])
        return values

    def _own(self, networks: Networks) -> list[Judge]:
        return self._frozen or self._judges_of(_judging_part(networks))

    def _judges_of(self, judge: nn.ModuleDict) -> list[Judge]:
        """The judges that are networks of ours, in evaluation mode."""
        tokenizer, encoder = judge.eval().values()
        embed = VoiceVector(cast(SpeakerEncoder, encoder), self.config.audio)
        return [
            PhonemeErrors(cast(SemanticTokenizer, tokenizer), self.config.audio),
            Similarity("similarity_z_spk", embed, self.recordings),
        ]

    def _alike(self) -> list[Judge]:
        spectrum = LongTermSpectrum(self.config.audio)
        return [Similarity("similarity_spectrum", spectrum, self.recordings, closeness)]

    def _asked(self) -> list[Judge]:
        """The judges that the configuration names; those that are not installed are left out."""
        language = self.config.data.language or "en"
        makers: dict[str, Callable[[], Judge]] = {
            "recogniser": lambda: Recognizer(self.config.transcribe, language),
            "resemblyzer": lambda: Similarity("similarity", Resemblyzer(), self.recordings),
            "dnsmos": Quality,
        }
        judges = []
        for name in self.config.validation.judges:
            try:
                judges.append(makers[name]())
            except NotAvailableError as error:
                self._absent[name] = str(error)
                _LOG.info("validation.judges: without %s, %s", name, error)
        return judges

    def _clip(self, row: Utterance) -> Clip:
        return clip_of(row, self.config.audio.sample_rate_hz, self._frontend(row.language))

    def _frontend(self, language: str) -> TextFrontend:
        if language not in self._frontends:
            self._frontends[language] = TextFrontend(language, self.data.lexicon)
        return self._frontends[language]


def _judging_part(networks: Networks) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"tokenizer": networks.tokenizer, "speaker_encoder": networks.sovits.speaker_encoder}
    )
