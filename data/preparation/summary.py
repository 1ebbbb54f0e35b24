"""What the command says at the end."""

from data.preparation.report import Outcome
from data.preparation.voice import voice_of


def summary(outcome: Outcome) -> str:
    """Return a few lines: what was kept, what was dropped and why, what to do next."""
    voice = voice_of(outcome.config)
    held = sum(utterance.split == "validation" for utterance in outcome.utterances)
    lines = [
        f"{outcome.config.speaker}: {sum(outcome.kept)} of {len(outcome.clips)} clips kept, "
        f"{outcome.kept_seconds / 60:.1f} minutes, {held} clips held out for validation"
    ]
    if outcome.dropped:
        reasons = [f"{count} {reason}" for reason, count in outcome.dropped.most_common()]
        lines.append(f"dropped: {', '.join(reasons)}")
    lines += list(outcome.notes)
    lines.append(f"report:  {voice.report}")
    lines.append(f"next:    python scripts/train.py data={outcome.config.speaker}")
    return "\n".join(lines)
