"""The table of rules, and the doctor's answer to a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from timbre.doctor import advice
from timbre.doctor.adversary_rules import discriminator_degenerate, discriminator_dominance
from timbre.doctor.curves import Curves
from timbre.doctor.data_rules import bad_data, rate_drift
from timbre.doctor.finding import Finding, Rule
from timbre.doctor.learning_rules import (
    learning_rate_too_high,
    non_finite,
    overfitting,
    rec_stuck,
)
from timbre.doctor.speaker_rules import kl_divergence, posterior_collapse

if TYPE_CHECKING:
    from timbre.config import RunConfig

HEALTHY = "healthy"

RULES = (
    Rule(
        "non_finite",
        "A loss or a gradient overflowed. Skipped updates do no harm, but what made them overflow "
        "is still there: steps that are too long, bf16 where it is too coarse, or broken audio.",
        non_finite,
        advice.slower_and_finer,
        shows=("train/total", "train/generator_gradient_norm", "train/skipped"),
        remedy="slower_generators",
    ),
    Rule(
        "bad_data",
        "No setting makes up for the recordings: the model learns what it is shown. Silence, a few "
        "seconds, very long clips or texts of other clips teach it nothing or the wrong thing.",
        bad_data,
        advice.nothing,
        shows=("train/silence", "train/level_db", "train/rec", "train/semantic"),
        advice="Prepare the recordings again and read the report: python scripts/prepare.py "
        "input=FOLDER speaker=NAME. 60 s of varied, dry speech are the least, 2 to 5 minutes good; "
        "clips of 2 to 15 s.",
    ),
    Rule(
        "learning_rate_too_high",
        "Every step jumps over the valley that it should go down into: losses that can only fall "
        "rise again. What the base knew is lost in the first such jumps.",
        learning_rate_too_high,
        advice.slower_generators,
        shows=("train/rec", "train/flow", "val/rec", "val/semantic"),
        remedy="slower_generators",
    ),
    Rule(
        "kl_divergence",
        "The speaker vectors run away from the distribution that they should follow: the usual way "
        "in which the KL of a VAE with flows fails. A voice drawn near them then sounds like none.",
        kl_divergence,
        advice.tamer_speaker_encoder,
        shows=("train/kl", "val/kl", "train/rec", "train/gradient_norm/sovits"),
        remedy="slower_generators",
    ),
    Rule(
        "posterior_collapse",
        "The KL term has won: the speaker encoder answers the same for every recording, so that "
        "the voice turns flat or into somebody else's, though rec may look well.",
        posterior_collapse,
        advice.weaker_kl,
        shows=("train/kl", "train/weighted/kl", "train/rec", "val/active_units"),
        remedy="weaker_kl",
    ),
    Rule(
        "discriminator_dominance",
        "The discriminators tell every sound right and at no effort, and learn faster than the "
        "generator can answer: what they teach becomes noise that pulls it away from the truth.",
        discriminator_dominance,
        advice.weaker_discriminators,
        shows=("train/disc", "train/adv", "train/accuracy/0", "train/rec"),
        remedy="slower_discriminators",
    ),
    Rule(
        "discriminator_degenerate",
        "The discriminators know less than a coin: they give one answer to everything, or jump "
        "between two. What they teach is no use; the voice learns from the other terms only.",
        discriminator_degenerate,
        advice.livelier_discriminators,
        shows=("train/disc", "train/adv", "train/accuracy/0", "train/gradient_norm/discriminators"),
    ),
    Rule(
        "rec_stuck",
        "The predicted mel does not come nearer to the recordings: noise that cannot be predicted, "
        "clips that are too long, a learning rate that is too high, or one that is far too low.",
        rec_stuck,
        advice.unstuck,
        shows=("train/rec", "train/semantic", "train/generator_gradient_norm", "val/rec"),
        advice="Cut clips to 2 to 15 s, trim silence, leave noisy ones out (scripts/prepare.py).",
        remedy="slower_generators",
    ),
    Rule(
        "overfitting",
        "The model learns these recordings by heart and gets worse at everything else. The best "
        "checkpoint lies behind; a run that listens has kept it (report.md), others keep the last.",
        overfitting,
        advice.earlier_or_gentler,
        shows=("train/semantic", "val/semantic", "train/rec", "val/rec"),
        advice="More recordings help most.",
    ),
    Rule(
        "rate_drift",
        "The voice has lost the speaker's pace: GPT writes too many or too few tokens a phoneme. "
        "Words that the texts leave out, or long silences within clips, teach exactly that.",
        rate_drift,
        advice.slower_gpt,
        shows=("val/rate_ratio", "val/error_rate", "train/semantic", "val/semantic"),
        advice="Compare texts and recordings, trim silence; synthesize.py speed=… sets the pace.",
    ),
)
"""All rules, causes before their effects."""


def diagnose(
    curves: Curves, config: RunConfig, treated: Mapping[str, int] | None = None
) -> list[Finding]:
    """Everything that is wrong with a run, causes first; empty: it is healthy.

    Args:
        curves: Of the run so far.
        config: Of the run.
        treated: Update of the last treatment by each remedy: what was seen before it does not
            count any more.
    """
    findings = []
    for rule in RULES:
        after = (treated or {}).get(rule.remedy)
        seen = curves if after is None else curves.since(after)
        if (finding := rule(seen, config)) is not None:
            findings.append(finding)
    return findings


def remedy_of(finding: Finding) -> str:
    """The remedy that is safe to apply during a run; empty: none is."""
    return next(rule.remedy for rule in RULES if rule.id == finding.id)


def columns_of(findings: list[Finding]) -> list[str]:
    """The columns to look at: those that the findings are about, or the most telling ones."""
    if not findings:
        return ["train/rec", "train/kl", "train/semantic", "train/adv", "train/disc", "val/rec"]
    shown = {rule.id: rule.shows for rule in RULES}
    return list(dict.fromkeys(name for finding in findings for name in shown[finding.id]))
