"""What `scripts/serve.py` is told."""

from __future__ import annotations

from dataclasses import dataclass

from gpt.packed import WEIGHTS

LOOPBACK = ("localhost", "127.0.0.1")
"""Addresses that only this machine reaches."""


@dataclass(frozen=True)
class ServeConfig:
    """Which voices are served, to whom, and how much they may ask for."""

    voice: str
    """Voices, separated by commas: each a bundle, a run, `base`, the name of a trained voice, or a
    folder of bundles."""
    host: str = "127.0.0.1"
    """Address to listen at; others than this machine's own need a key."""
    port: int = 8000
    """Port to listen at; 0 takes a free one."""
    key_variable: str = "TIMBRE_KEY"
    """Environment variable that holds the key which clients must show; empty or unset: none."""
    loaded: int = 4
    """Voices kept in memory; the one longest unused makes room."""
    queue: int = 16
    """Requests that may wait while one is spoken; more are told to come back later."""
    max_characters: int = 5000
    """Longest text of a request."""
    weights: str | None = None
    """What GPT's weights are kept in: float32, float16, bfloat16 or int8; None: the fastest that
    loses nothing."""
    watermark: bool = True
    """Whether the speech is marked as synthetic, inaudibly; see `timbre.marking`."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; give 0 to 65535")
        if min(self.loaded, self.max_characters) < 1 or self.queue < 0:
            raise ValueError("loaded and max_characters must be at least 1, queue at least 0")
        if self.weights not in (None, *WEIGHTS):
            raise ValueError(f"weights is {self.weights!r}; give one of {', '.join(WEIGHTS)}")
