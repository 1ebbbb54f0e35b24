"""Which vocoder: its configuration, and the one function that builds it."""

from dataclasses import dataclass, field

from data.mel import AudioConfig
from vocoder.hifigan import HiFiGANConfig, HiFiGANGenerator
from vocoder.interface import Vocoder
from vocoder.prior_istft import PriorISTFTConfig, PriorISTFTGenerator

VOCODER_KINDS = ("prior_istft", "hifigan")


@dataclass(frozen=True)
class VocoderConfig:
    """Choice of the generator, and the sizes of each choice.

    Raises:
        ValueError: unknown kind.
    """

    kind: str = "prior_istft"
    """`prior_istft` (CPU default, trains in minutes) or `hifigan` (adversarial, GPU)."""
    prior_istft: PriorISTFTConfig = field(default_factory=PriorISTFTConfig)
    """Read when `kind` is prior_istft."""
    hifigan: HiFiGANConfig = field(default_factory=HiFiGANConfig)
    """Read when `kind` is hifigan."""

    def __post_init__(self) -> None:
        if self.kind not in VOCODER_KINDS:
            raise ValueError(f"vocoder.kind is {self.kind!r}; use one of {VOCODER_KINDS}")


def build_vocoder(config: VocoderConfig, audio: AudioConfig) -> Vocoder:
    """Return the configured generator for the given mel geometry.

    Raises:
        ValueError: the sizes do not fit the geometry.
    """
    if config.kind == "hifigan":
        return HiFiGANGenerator(config.hifigan, audio)
    return PriorISTFTGenerator(config.prior_istft, audio)
