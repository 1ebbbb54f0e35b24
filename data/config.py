"""The keys of `data`: what a voice is trained on, and in what batches."""

from dataclasses import dataclass, field

from data.augment import AugmentConfig

REPLAY_OF_INIT = "init"
"""As `data.replay.manifest`: the replay set that the run's starting bundle brings along."""


@dataclass(frozen=True)
class ReplayConfig:
    """Old material that is mixed into fine-tuning, so that the model does not forget it."""

    manifest: str = ""
    """Manifest of the replay set; empty trains without. `init` means the clips that the bundle of
    `init` brings along, if it does."""
    fraction: float = 0.3
    """Share of replay items among all items of a batch."""

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ValueError(
                f"data.replay.fraction is {self.fraction}; give a share between 0 and 1, or an "
                "empty data.replay.manifest to train without replay"
            )


@dataclass(frozen=True)
class DataConfig:
    """What is trained on, and in what batches.

    Raises:
        ValueError: a value is impossible.
    """

    manifest: str
    """Manifest of the voice, as `prepare.py` writes it."""
    name: str = "voice"
    """Name of the voice; runs are kept under it."""
    heldout: str = ""
    """Manifest of recordings that no run trains on, for evaluation; empty where there are none."""
    language: str = ""
    """Language that all of the manifest must be in; empty allows any, and several."""
    lexicon: str = ""
    """File of words and how this voice says them, lines `word<TAB>phonemes`; empty: none. Replay
    keeps its own pronunciations."""
    max_frames: int = 6000
    """Most mel frames in a batch of all processes together, padding included."""
    max_items: int = 16
    """Most utterances in a batch of all processes together."""
    length_jitter: float = 0.05
    """How far an utterance may move in the order by length that batches are cut from, as a share
    of all utterances: more of it mixes batches better and pads more."""
    reference_seconds: list[float] = field(default_factory=lambda: [2.0, 4.0])
    """Shortest and longest reference; a list, since that is what Hydra makes of a tuple."""
    with_audio: bool = True
    """Whether batches hold waveforms; without, loading is faster."""
    train_seconds: float = 0.0
    """Train on the first recordings of the voice only, up to so many seconds in all (at least one
    recording); 0 takes all. References and the voice's embedding are of these as well."""
    validation_items: int = 0
    """Most validation utterances, taken evenly from all; 0 takes all."""
    workers: int = 2
    """Processes that compute features, and that load batches; 0 does both in the main process."""
    seed: int = 0
    """Of batch order, references and augmentation."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    """Old material to mix in."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of training examples."""

    def __post_init__(self) -> None:
        limits = {
            "max_frames": 1,
            "max_items": 2 if self.replay.manifest else 1,
            "train_seconds": 0,
            "validation_items": 0,
            "workers": 0,
        }
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise ValueError(f"data.{name} is {getattr(self, name)}; {least} is the least")
        if self.seed < 0:
            raise ValueError(f"data.seed is {self.seed}; give 0 or a positive number")
        if not 0 <= self.length_jitter <= 1:
            raise ValueError(
                f"data.length_jitter is {self.length_jitter}; give a share from 0 to 1"
            )
        reference = self.reference_seconds
        if len(reference) != 2 or not 0 < reference[0] <= reference[1]:
            raise ValueError(
                f"data.reference_seconds is {reference}; give the shortest and the longest length "
                "in seconds, in this order"
            )
