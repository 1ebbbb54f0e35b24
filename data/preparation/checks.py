"""Step 5: which clips are dropped, and the one reason of each."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from data.preparation.clips import Clip
from data.preparation.config import QualityConfig
from data.preparation.judges import PitchAndTimbre, Resemblyzer
from data.speaking_rate import LEAST_CLIPS, length_outliers
from data.text.symbols import SILENCE_ID

REASONS: dict[str, str] = {
    "unreadable": "Not an audio file, or a broken one: export it again.",
    "silent": "Nothing to hear: check the microphone or the export.",
    "no speech": "Nobody speaks in it.",
    "truncated": "The file was cut short in copying or recording: its last words are missing.",
    "too long": "No pause to cut in: raise cut.max_seconds, or cut it by hand.",
    "too short": "Teaches nothing: quality.min_seconds.",
    "clipped": "Recorded too loud; the peaks are gone for good: record it again more quietly.",
    "noisy": "Noise is close to the speech: record in a quieter place, or sound.denoise=true "
    "with a lower quality.min_snr_db.",
    "narrow band": "Telephone sound, even if the file has a high sample rate: find the original.",
    "poor sound": "Listeners would rate it low (DNSMOS): noise, echo or a bad codec.",
    "no text": "The recogniser made out no words.",
    "unsayable text": "The text holds nothing that the language can say: check text and language.",
    "transcript mismatch": "Something else is said than is written: correct the transcript.",
    "unclear speech": "The recogniser is unsure of most words: give a transcript.",
    "speaking rate": "Far too long or too short for its text: words are missing in one of them.",
    "another speaker": "Does not sound like the other clips: another voice, or an imitation.",
    "duplicate": "The same recording is there already.",
}
"""All reasons, in the order in which they are looked for, and what the user may do."""

NEVER_KEPT = frozenset(
    {"unreadable", "silent", "no speech", "no text", "unsayable text", "too long"}
)
"""Reasons that hold with keep=all as well: there would be nothing to train on."""

_FEWEST_CLIPS = 5
_MOST_PHONEMES_PER_SECOND = 30.0
_LEAST_PHONEMES_PER_SECOND = 3.0
FORGIVEN_LETTERS = 4
_COARSE_LIMIT = 3.0
_COARSE_FEW_CLIPS = 4.0
_COARSE_SECONDS = 3.0
_ALIKE_SECONDS = 1.03
_KNOWN_RECOGNISER_ERROR = 0.85
_SHORTEST_SECONDS = 0.45


def verdicts(clips: Sequence[Clip], config: QualityConfig, embedding: str) -> list[str]:
    """Return the reason why each clip is dropped, empty for good clips.

    The first reason in the order of `REASONS` is given. Checks that compare clips look at those
    that passed the others, speaker by speaker.
    """
    reasons = [_own_reason(clip, config) for clip in clips]
    for check in (_mismatches, _rate_outliers, _strangers, _duplicates):
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, (clip, reason) in enumerate(zip(clips, reasons, strict=True)):
            if not reason:
                groups[clip.recording.speaker, clip.language].append(number)
        for numbers in groups.values():
            found, reason = check([clips[n] for n in numbers], config, embedding)
            for index in np.flatnonzero(found):
                reasons[numbers[index]] = reason
    return reasons


def can_be_kept(clip: Clip, reason: str) -> bool:
    """Whether keep=all keeps a clip with this verdict."""
    return reason not in NEVER_KEPT and bool(clip.symbols) and clip.seconds >= _SHORTEST_SECONDS


def _own_reason(clip: Clip, config: QualityConfig) -> str:
    """What is wrong with a clip whatever the others are like."""
    measures = clip.measures
    if clip.problem or measures is None:
        return clip.problem or "no speech"
    if measures.end - measures.start < config.min_seconds:
        return "too short"
    if measures.clipped > config.max_clipped:
        return "clipped"
    if measures.snr_db < config.min_snr_db:
        return "noisy"
    if measures.bandwidth_hz < config.min_bandwidth_hz:
        return "narrow band"
    if measures.dnsmos is not None and measures.dnsmos < config.min_dnsmos:
        return "poor sound"
    if not clip.text:
        return "no text"
    if not clip.symbols:
        return "unsayable text"
    if not clip.given and clip.confidence is not None and clip.confidence < config.min_confidence:
        return "unclear speech"
    return ""


Found = tuple[ndarray, str]


def error_limit(rates: Float64[ndarray, " clips"], config: QualityConfig) -> float:
    """Return the error rate from which on a transcript counts as wrong.

    Whisper's smaller models hear some languages badly: their usual error on a voice is no fault of
    its transcripts. A wrong transcript shares no more letters with the speech than chance: 0.85.
    """
    if not len(rates):
        return config.max_error_rate
    usual = float(np.median(rates))
    spread = 1.4826 * float(np.median(np.abs(rates - usual)))
    limit = max(config.max_error_rate, usual + config.error_deviations * spread)
    return min(limit, max(config.max_error_rate, _KNOWN_RECOGNISER_ERROR))


def _mismatches(clips: list[Clip], config: QualityConfig, embedding: str) -> Found:
    rates = np.array([clip.error_rate or 0.0 for clip in clips])
    limit = error_limit(rates[[clip.error_rate is not None for clip in clips]], config)
    letters = np.array([clip.error_letters for clip in clips])
    return (rates > limit) & (letters > FORGIVEN_LETTERS), "transcript mismatch"


def _rate_outliers(clips: list[Clip], config: QualityConfig, embedding: str) -> Found:
    phonemes = np.array([sum(s != SILENCE_ID for s in clip.symbols) for clip in clips], dtype=float)
    seconds = np.array([clip.speech.end - clip.speech.start for clip in clips])
    per_second = phonemes / np.maximum(seconds, 0.1)
    absurd = per_second > _MOST_PHONEMES_PER_SECOND
    if len(clips) < LEAST_CLIPS:
        return absurd | (per_second < _LEAST_PHONEMES_PER_SECOND), "speaking rate"
    deviations, tolerance = config.rate_deviations, config.rate_tolerance
    return absurd | length_outliers(phonemes, seconds, deviations, tolerance), "speaking rate"


def _strangers(clips: list[Clip], config: QualityConfig, embedding: str) -> Found:
    if len(clips) < _FEWEST_CLIPS:
        return np.zeros(len(clips), dtype=bool), "another speaker"
    voices = np.array([clip.measures.voice for clip in clips if clip.measures])
    seconds = np.array([clip.seconds for clip in clips])
    strange = np.zeros(len(clips), dtype=bool)
    # Twice: the first centre still holds the strangers themselves.
    for _ in range(2):
        own = voices[~strange]
        if embedding == Resemblyzer.name:
            likeness = _cosines(voices, own)
            limit = _usual(likeness, strange) - config.speaker_deviations * _spread(
                likeness, strange
            )
            strange = likeness < min(config.min_similarity, limit)
        else:
            distance = _distances(voices, own) / _expected_distances(seconds, ~strange)
            limit = _usual(distance, strange) + config.speaker_deviations * _spread(
                distance, strange
            )
            # A few clips underrate the spread of a voice.
            least = _COARSE_LIMIT * (1 + _COARSE_FEW_CLIPS / len(own))
            strange = distance > max(least, limit)
    return strange, "another speaker"


def _cosines(
    voices: Float64[ndarray, "clips channels"], own: Float64[ndarray, "own channels"]
) -> Float64[ndarray, " clips"]:
    centre = own.mean(axis=0)
    norms = np.linalg.norm(voices, axis=1) * np.linalg.norm(centre)
    cosines: ndarray = voices @ centre / np.maximum(norms, 1e-9)
    return cosines


def _distances(
    voices: Float64[ndarray, "clips channels"], own: Float64[ndarray, "own channels"]
) -> Float64[ndarray, " clips"]:
    """Root mean square of the deviations from the median, each in units of its own spread."""
    centre = np.median(own, axis=0)
    spread = 1.4826 * np.median(np.abs(own - centre), axis=0)
    scaled = (voices - centre) / np.maximum(spread, 0.05)
    distances: ndarray = np.sqrt(np.square(scaled) @ PitchAndTimbre.weights)
    return distances


def _expected_distances(
    seconds: Float64[ndarray, " clips"], own: Bool[ndarray, " clips"]
) -> Float64[ndarray, " clips"]:
    """How far clips of the voice lie from its median, by their length; 1 for its usual length.

    Measured on 800 clips of 12 voices: nearly with the root of the length, and half as far from 3 s
    on as under 1 s.
    """
    usual = float(np.median(seconds[own]))
    expected: ndarray = np.sqrt((1 + _COARSE_SECONDS / seconds) / (1 + _COARSE_SECONDS / usual))
    return expected


def _usual(values: Float64[ndarray, " clips"], strange: ndarray) -> float:
    return float(np.median(values[~strange]))


def _spread(values: Float64[ndarray, " clips"], strange: ndarray) -> float:
    own = values[~strange]
    return 1.4826 * float(np.median(np.abs(own - np.median(own))))


def _duplicates(clips: list[Clip], config: QualityConfig, embedding: str) -> Found:
    """Later clips that look like an earlier one of the same length."""
    pictures = np.array([clip.measures.picture for clip in clips if clip.measures])
    seconds = np.array([clip.seconds for clip in clips])
    order = np.argsort(seconds, kind="stable")
    ends = np.searchsorted(seconds[order], _ALIKE_SECONDS * seconds[order], side="right")
    found = np.zeros(len(clips), dtype=bool)
    for place, end in enumerate(ends):
        others = order[place + 1 : end]
        alike = others[pictures[others] @ pictures[order[place]] > config.duplicate]
        for other in alike:
            found[max(order[place], other)] = True
    return found, "duplicate"
