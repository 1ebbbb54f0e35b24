"""Settings of the base corpus recipe."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TeacherConfig:
    """One voice of a speech synthesiser, turned into several pseudo-speakers."""

    teacher: str
    """Synthesiser: hibari, piper, flite or kokoro."""
    base: str
    """Voice of that synthesiser, e.g. heart, joe, slt. A `*` in it becomes a number drawn for each
    pseudo-speaker: kokoro's `mixture*` gives each a voice of its own."""
    voices: int
    """Number of pseudo-speakers."""
    minutes: float
    """Speech to make per pseudo-speaker, about."""
    pitch_low: float = 1.0
    """Lowest rate at which the synthesised sound is played; pitch and formants move with it."""
    pitch_high: float = 1.0
    """Highest such rate; the voices are spread between the two on a logarithmic scale."""
    formant_slope: float = 0.6
    """Formants follow pitch ** slope: speakers differ less in vocal tracts than in pitch."""
    formant_spread: float = 0.06
    """Standard deviation of the logarithm of the formants around that."""
    formant_low: float = 0.76
    """Lowest position of the formants; 1 = the base voice."""
    formant_high: float = 1.3
    """Highest such position."""
    pace_low: float = 0.9
    """Slowest speaking pace, relative to the base voice."""
    pace_high: float = 1.15
    """Fastest such pace."""
    speed_high: float = 1.25
    """Fastest speed asked of the synthesiser, whatever pace and rate want: beyond it consonants
    get lost (hibari: word error 5 % at 1.25, 15 % at 1.5)."""
    narrow_share: float = 0.0
    """Share of the pseudo-speakers that sound as if recorded at 16 kHz."""

    def __post_init__(self) -> None:
        if self.voices < 1 or self.minutes <= 0:
            raise ValueError(f"teacher {self.teacher}: give at least one voice and some minutes")
        for name in ("pitch", "formant", "pace"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not 0.4 <= low <= high <= 2.5:
                raise ValueError(
                    f"teacher {self.teacher}: {name}_low {low} and {name}_high {high} must rise "
                    "and lie between 0.4 and 2.5"
                )
        if not 0 <= self.narrow_share <= 1 or self.formant_spread < 0 or self.speed_high <= 0:
            raise ValueError(
                f"teacher {self.teacher}: narrow_share must be 0 to 1, formant_spread not negative "
                "and speed_high positive"
            )


@dataclass(frozen=True)
class TextConfig:
    """How the teachers' texts are put together from example sentences of a dictionary."""

    sentence_words_min: int = 4
    """Shortest example used as a sentence."""
    sentence_words_max: int = 18
    """Longest example used as a sentence."""
    clip_words_median: float = 12.0
    """Median of the log-normal distribution of words a clip; about 2.7 words are a second."""
    clip_words_sigma: float = 0.5
    """Standard deviation of the logarithm of the words a clip."""
    clip_words_max: int = 30
    """Longest clip; 30 words are 11 to 12 seconds."""
    lively_share: float = 0.15
    """Share of the clips that hold a question or an exclamation, while there are enough."""
    phrase_share: float = 0.05
    """Share of the clips that are short phrases of two or three words."""

    def __post_init__(self) -> None:
        if not 1 <= self.sentence_words_min <= self.sentence_words_max <= self.clip_words_max:
            raise ValueError("sentence_words_min, sentence_words_max, clip_words_max must rise")
        if not 1 <= self.clip_words_median <= self.clip_words_max or self.clip_words_sigma < 0:
            raise ValueError(
                "clip_words_median must be 1 to clip_words_max, the sigma not negative"
            )
        if min(self.lively_share, self.phrase_share) < 0 or (
            self.lively_share + self.phrase_share > 1
        ):
            raise ValueError("lively_share and phrase_share are shares: together 0 to 1")


@dataclass(frozen=True)
class ConditionConfig:
    """What a clip must be like to be listed, and how it is brought there."""

    sample_rate_hz: int = 24_000
    """Sample rate of the corpus."""
    loudness_lufs: float = -23.0
    """Loudness of every clip (ITU-R BS.1770 integrated)."""
    peak: float = 0.97
    """Highest sample; louder clips stay below `loudness_lufs` instead of being clipped."""
    silence_seconds: float = 0.12
    """Silence kept at either end, so that weak consonants are not cut off."""
    silence_db: float = 42.0
    """Sound this far below the loud frames of the clip counts as silence."""
    min_seconds: float = 0.8
    """Shorter clips are dropped."""
    max_seconds: float = 15.0
    """Longer clips are dropped."""
    clipped_share: float = 2e-4
    """A clip with a larger share of samples in flattened peaks is dropped."""

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds < self.max_seconds:
            raise ValueError("min_seconds must be positive and below max_seconds")
        if not 0 <= self.silence_seconds <= 0.15:
            raise ValueError("silence_seconds must be 0 to 0.15: longer edges teach pauses")
        if not 0 < self.peak <= 1 or self.sample_rate_hz < 8_000:
            raise ValueError("peak must be 0 to 1, sample_rate_hz at least 8000")


@dataclass(frozen=True)
class ReplaySetConfig:
    """The clips that go with a base, for fine-tunes to mix in."""

    target: str = ""
    """Folder that receives them; empty writes none."""
    clips: int = 4
    """Of each voice."""
    min_seconds: float = 2.5
    """Shortest clip."""
    max_seconds: float = 7.0
    """Longest clip."""
    licences: list[str] = field(
        default_factory=lambda: ["Apache-2.0", "CC0-1.0", "MIT-Festival", "CC-BY-3.0"]
    )
    """Only clips that may be given on under the terms of the project's own licence."""

    def __post_init__(self) -> None:
        if self.clips < 1 or not 0 < self.min_seconds < self.max_seconds:
            raise ValueError("replay.clips must be at least 1, min_seconds below max_seconds")


@dataclass(frozen=True)
class CorpusConfig:
    """The whole recipe."""

    target: str = ""
    """Folder that receives the audio and `manifest.jsonl`."""
    seed: int = 0
    """Fixes texts, voices, equalisers and the order of everything."""
    sources: list[str] = field(default_factory=list)
    """Human speech: asterisk-ru, fillets, tuxpaint."""
    teachers: list[TeacherConfig] = field(default_factory=list)
    """Synthetic English speech."""
    more_teachers: list[TeacherConfig] = field(default_factory=list)
    """Further teachers, so that a recipe which extends another need not repeat its list; they speak
    after the others, whose clips stay the same."""
    text: TextConfig = field(default_factory=TextConfig)
    """The teachers' texts."""
    refused_words: list[str] = field(default_factory=list)
    """Beginnings of words; a sentence with such a word is not given to a teacher."""
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    """Trimming, loudness and the reasons to drop a clip."""
    rate_deviations: float = 4.0
    """Clips whose length differs from what the speaker needs for the text by more robust standard
    deviations than this are dropped: the text does not match."""
    rate_tolerance: float = 1.3
    """A length within this factor of the expected one is never an outlier."""
    replay: ReplaySetConfig = field(default_factory=ReplaySetConfig)
    """A small part of the corpus for a base to bring along."""
    validation_every: int = 33
    """One clip in so many of each speaker is kept for validation."""
    development_voices: list[str] = field(default_factory=list)
    """Speakers kept for validation as a whole: unseen voices to tune the recipe on."""
    held_out_texts: list[str] = field(default_factory=list)
    """Files of evaluation sentences that the corpus must not hold: `.txt` with a sentence a line
    or `.jsonl` with a field `text`; patterns with `*` are allowed."""

    def __post_init__(self) -> None:
        if self.validation_every < 2:
            raise ValueError("validation_every must be at least 2: training needs clips as well")
        if self.rate_deviations <= 0 or self.rate_tolerance < 1:
            raise ValueError("rate_deviations must be positive, rate_tolerance at least 1")
        if not self.sources and not self.all_teachers:
            raise ValueError("the corpus would be empty: name sources or teachers")

    @property
    def all_teachers(self) -> list[TeacherConfig]:
        """In the order in which they speak."""
        return [*self.teachers, *self.more_teachers]
