"""What the curves say about the recordings and about what is heard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from timbre.doctor.curves import Curves

if TYPE_CHECKING:
    from timbre.config import RunConfig

_SILENT_SHARE = 0.7
"""Of the frames. Read speech has 0.05 to 0.4: pauses, closures, the ends of clips."""
_QUIET_DB = -60.0
"""Mean level of the frames' loudest band; prepared recordings are at -5 to -20."""
_LEAST_SECONDS = 30.0
"""The seed guide asks for 60 s, better 2 to 5 minutes; half of that is not enough for anything."""
_LONGEST_SECONDS = 30.0
"""The seed guide: clips longer than this keep rec up; cut them to 15 to 30 s."""
_MISHEARD = 0.8
"""Share of errors on the human recordings from which on the texts are not those that are spoken;
the weakest judge, a small base's CTC head, misheard 0.56 of a new voice's right texts."""
_PACE = math.log(1.25)
_PACE_CHANGE = math.log(1.15)


def bad_data(curves: Curves, config: RunConfig) -> str | None:
    """Silence, hardly any data, clips too long, or texts that are not what is spoken."""
    seen = [_silence(curves), _amount(curves), _length(curves), _texts(curves)]
    return "; ".join(each for each in seen if each) or None


def rate_drift(curves: Curves, config: RunConfig) -> str | None:
    """The voice speaks faster or slower than the speaker, and than it did before training."""
    pace = curves.series("val/rate_ratio")
    # Only of a voice that could speak at the start is there a pace to lose.
    if len(pace) < 2 or not len(curves.series("val/score")):
        return None
    first, now = abs(math.log(pace.values[0])), abs(math.log(pace.values[-1]))
    if now < _PACE or now - first < _PACE_CHANGE:
        return None
    word = "faster" if pace.values[-1] > 1 else "slower"
    return (
        f"the voice speaks {math.exp(now):.2f} times {word} than its speaker "
        f"(val/rate_ratio {pace.values[0]:.2f} → {pace.values[-1]:.2f})"
    )


def _silence(curves: Curves) -> str | None:
    share, level = curves.series("train/silence"), curves.series("train/level_db")
    if len(share) and share.now > _SILENT_SHARE:
        return f"{share.now:.0%} of what is trained on is silence"
    if len(level) and level.now < _QUIET_DB:
        return f"the recordings are as quiet as {level.now:.0f} dB"
    return None


def _amount(curves: Curves) -> str | None:
    seconds, clips = curves.series("data/seconds"), curves.series("data/clips")
    if not len(seconds) or seconds.now >= _LEAST_SECONDS:
        return None
    return f"only {seconds.now:.0f} s of speech in {clips.now:.0f} clips"


def _length(curves: Curves) -> str | None:
    longest = curves.series("data/longest_seconds")
    if not len(longest) or longest.now <= _LONGEST_SECONDS:
        return None
    return f"the longest clip has {longest.now:.0f} s"


def _texts(curves: Curves) -> str | None:
    misheard = curves.series("val/human_error_rate")
    if not len(misheard) or misheard.now < _MISHEARD:
        return None
    return (
        f"{misheard.now:.0%} of the recordings' own texts are misheard: texts and sound do not "
        "belong together, or the judge does not know the language"
    )
