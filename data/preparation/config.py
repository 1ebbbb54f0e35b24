"""Settings of `scripts/prepare.py`."""

import re
from dataclasses import dataclass, field

from data.manifest import LANGUAGE_CODE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
EXECUTORS = ("process", "dask")


@dataclass(frozen=True)
class CutConfig:
    """Where recordings are cut into clips, and how clips begin and end."""

    min_seconds: float = 2.0
    """Pieces are joined over short pauses until they are this long; a sentence that stands alone
    between long pauses may stay shorter, down to `quality.min_seconds`."""
    max_seconds: float = 15.0
    """Longest clip. For training on long passages give 15 and 30. Clips are cut to about the middle
    of the two, those of a voice of under two minutes shorter, so that some can be held out."""
    min_pause_seconds: float = 0.25
    """Shortest pause that a cut is made in, as the voice activity detector sees it."""
    max_pause_seconds: float = 1.0
    """A longer pause is always a cut: it is between two utterances, not within one."""
    margin_seconds: float = 0.15
    """Silence kept at either end: weak consonants are quieter than what a detector hears."""
    activity: float = 0.5
    """Probability of speech (Silero VAD) from which on a frame counts as speech."""

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds < self.max_seconds <= 60:
            raise ValueError(
                f"cut.min_seconds {self.min_seconds} and cut.max_seconds {self.max_seconds} must "
                "rise and lie between 0 and 60"
            )
        if not 0.05 <= self.min_pause_seconds <= self.max_pause_seconds:
            raise ValueError("cut.min_pause_seconds must be 0.05 to cut.max_pause_seconds")
        if not 0 <= self.margin_seconds <= 1 or not 0 < self.activity < 1:
            raise ValueError("cut.margin_seconds must be 0 to 1, cut.activity between 0 and 1")


@dataclass(frozen=True)
class SoundConfig:
    """What the voice's files sound like."""

    loudness_lufs: float = -23.0
    """Loudness of every clip (ITU-R BS.1770 integrated)."""
    peak: float = 0.97
    """Highest sample; clips that would pass it stay quieter instead."""
    denoise: bool = False
    """Take steady noise away (a Wiener filter that learns it in the pauses). Off: training on
    clean recordings is better than training on cleaned ones."""

    def __post_init__(self) -> None:
        if not 0 < self.peak <= 1 or not -60 <= self.loudness_lufs <= -5:
            raise ValueError("sound.peak must be 0 to 1, sound.loudness_lufs -60 to -5")


@dataclass(frozen=True)
class TranscribeConfig:
    """The speech recogniser: it writes missing transcripts and checks given ones."""

    model: str = "base"
    """A Whisper model of faster-whisper: a name (tiny, base, small, …; downloaded once) or a
    local folder."""
    device: str = "cpu"
    """cpu or cuda (needs CTranslate2's CUDA libraries)."""
    beam: int = 5
    """Width of the beam search."""
    window_seconds: float = 28.0
    """Speech recognised at a time; Whisper hears 30 s."""
    check: bool = True
    """Also listen to clips that came with a transcript, and compare."""

    def __post_init__(self) -> None:
        if self.beam < 1 or not 5 <= self.window_seconds <= 30:
            raise ValueError("transcribe.beam must be 1 or more, window_seconds 5 to 30")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"transcribe.device is {self.device!r}; give cpu or cuda")


@dataclass(frozen=True)
class QualityConfig:
    """From where on a clip is dropped."""

    min_seconds: float = 0.6
    """Shorter clips teach nothing: `too short`."""
    max_clipped: float = 2e-3
    """Share of samples in flattened peaks: `clipped`."""
    min_snr_db: float = 12.0
    """Speech level over noise level: `noisy`."""
    min_bandwidth_hz: float = 4400.0
    """Highest frequency within 60 dB of the strongest; telephone sound ends at 4000 Hz:
    `narrow band`."""
    min_dnsmos: float = 1.2
    """DNSMOS P.835 overall score, 1 to 5, if speechmos is installed: `poor sound`. Low, since good
    short clips of acted speech may score 1.5, and noise alone 1.1. 0 does not ask it."""
    max_error_rate: float = 0.3
    """Letters that recogniser and transcript disagree on: `transcript mismatch`. Where the
    recogniser is bad at a language, its usual error rate on this voice decides instead."""
    error_deviations: float = 4.0
    """… a clip is then dropped if it is this many robust deviations above the voice's median."""
    min_confidence: float = 0.35
    """Mean probability of the recognised words, where there is no transcript: `unclear speech`."""
    rate_deviations: float = 4.5
    """Robust deviations of the time per phoneme from the speaker's: `speaking rate`."""
    rate_tolerance: float = 1.5
    """Within this factor of the expected length a clip is never a `speaking rate` outlier."""
    speaker_deviations: float = 5.0
    """Robust deviations of the likeness to the speaker's other clips: `another speaker`."""
    min_similarity: float = 0.72
    """A clip this like the others (cosine, Resemblyzer) is never `another speaker`. Clips of one
    voice reach 0.87, of two voices 0.5 to 0.65."""
    duplicate: float = 0.995
    """Correlation of two clips' spectrograms from which on the later one is a `duplicate`."""
    min_total_seconds: float = 20.0
    """With less good speech no voice is made."""
    warn_total_seconds: float = 60.0
    """With less good speech there is a warning."""

    def __post_init__(self) -> None:
        if self.min_seconds < 0.45:
            raise ValueError("quality.min_seconds must be at least 0.45: loudness needs 0.4 s")
        if self.rate_tolerance < 1 or self.rate_deviations <= 0 or self.speaker_deviations <= 0:
            raise ValueError(
                "quality.rate_tolerance must be 1 or more, rate_ and speaker_deviations positive"
            )


@dataclass(frozen=True)
class ValidationSplitConfig:
    """Which clips are held out."""

    share: float = 0.05
    """Share of the clips that are held out for validation."""
    least: int = 2
    """Held-out clips at least; one with fewer than ten clips, none with fewer than five."""
    most: int = 100
    """Held-out clips at most."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 0.5 or not 0 <= self.least <= self.most:
            raise ValueError("validation.share must be 0 to 0.5, and least at most `most`")


@dataclass(frozen=True)
class PrepareConfig:
    """One preparation.

    Raises:
        ValueError: a value is impossible.
    """

    input: str
    """A recording, or a folder with recordings in it (searched to any depth)."""
    speaker: str
    """Name of the voice; also of the speaker, where the transcripts do not name one."""
    language: str | None = None
    """Language code, e.g. `en`; None: as the transcripts say, else as the recogniser hears."""
    transcripts: str | None = None
    """A transcript list: metadata.csv, `.list`, `.csv` or `.jsonl`; None: `.txt` and `.lab` files
    beside the recordings, or a metadata.csv, .list or .jsonl in the input folder."""
    lexicon: str | None = None
    """A file of words and how the recordings say them, lines `word<TAB>phonemes` (see
    docs/languages.md); copied to the voice, so that training and speaking use it."""
    keep: str = "good"
    """good, or all: also what fails a check, as long as it holds speech with a text."""
    speakers_by_folder: bool = False
    """Take the name of each recording's folder for its speaker."""
    licence: str = ""
    """Licence of the recordings (SPDX identifier), written into the manifest."""
    sample_rate_hz: int = 24_000
    """Sample rate of the voice's files; that of configs/audio."""
    seed: int = 1
    """Of the choice of held-out clips."""
    output: str = "voices"
    """Folder that receives NAME/ and data/NAME.yaml."""
    cache: str = ".cache/prepare"
    """Results of each step; with executor=dask a folder that all machines see."""
    executor: str = "process"
    """process (this machine) or dask (a cluster)."""
    scheduler: str | None = None
    """Address of the Dask scheduler, e.g. `tcp://host:8786`."""
    workers: int | None = None
    """Processes; None: one a core. 1 works in the main process. With dask, the cluster's."""
    cut: CutConfig = field(default_factory=CutConfig)
    """Cutting."""
    sound: SoundConfig = field(default_factory=SoundConfig)
    """Loudness and denoising."""
    transcribe: TranscribeConfig = field(default_factory=TranscribeConfig)
    """Speech recognition."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """Reasons to drop a clip."""
    validation: ValidationSplitConfig = field(default_factory=ValidationSplitConfig)
    """Held-out clips."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.speaker):
            raise ValueError(
                f"speaker is {self.speaker!r}; give a name of letters, digits, '-' and '_'"
            )
        if self.language is not None:
            code = self.language.strip().lower().replace("_", "-")
            if code and not LANGUAGE_CODE.fullmatch(code):
                raise ValueError(f"language is {self.language!r}; give a code such as en or pt-br")
            # Small letters: Whisper and the manifest know no others.
            object.__setattr__(self, "language", code or None)
        if self.keep not in ("good", "all"):
            raise ValueError(f"keep is {self.keep!r}; give good or all")
        if self.executor not in EXECUTORS:
            raise ValueError(f"executor is {self.executor!r}; give {' or '.join(EXECUTORS)}")
        if (self.executor == "dask") != bool(self.scheduler):
            raise ValueError("executor=dask and scheduler=ADDRESS go together")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers is {self.workers}; give 1 or more")
        if self.sample_rate_hz < 16_000:
            raise ValueError(f"sample_rate_hz is {self.sample_rate_hz}; give 16000 or more")
