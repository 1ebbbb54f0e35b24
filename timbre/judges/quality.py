"""How clean it sounds: DNSMOS, a predictor of listeners' opinion scores."""

from __future__ import annotations

import numpy as np

from timbre.judges.clip import Clip, Measure
from timbre.judges.optional import import_optional

INSTALL = "pip install --no-deps speechmos requests tqdm"
_SAMPLE_RATE_HZ = 16000


class Quality:
    """DNSMOS P.835 (arXiv 2110.01763): `dnsmos`, the overall score from 1 to 5.

    Raises:
        NotAvailableError: speechmos is not installed.
    """

    def __init__(self) -> None:
        self._package = import_optional("speechmos.dnsmos", INSTALL)

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """The predicted overall opinion of each clip."""
        return {"dnsmos": Measure([self._of(clip) for clip in clips])}

    def _of(self, clip: Clip) -> float:
        audio = np.clip(clip.at(_SAMPLE_RATE_HZ), -1.0, 1.0)
        return float(self._package.run(audio, sr=_SAMPLE_RATE_HZ)["ovrl_mos"])
