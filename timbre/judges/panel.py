"""The panel: every judge that can be asked here, and the names of those that cannot."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from data.mel import AudioConfig
from timbre.judges.clip import Clip, Judge, Measure
from timbre.judges.optional import NotAvailableError
from timbre.judges.phonemes import PhonemeErrors
from timbre.judges.prosody import Pace, Pitch
from timbre.judges.quality import Quality
from timbre.judges.recognizer import Recognizer, TranscribeConfig
from timbre.judges.similarity import Similarity
from timbre.judges.speaker import Resemblyzer
from timbre.judges.spectrum import LongTermSpectrum, closeness
from timbre.judges.voice_vector import VoiceVector
from timbre.networks import Networks

_LOG = logging.getLogger(__name__)


class Panel:
    """Asks all judges about the same clips.

    Args:
        networks: Whose tokenizer and speaker encoder judge; in evaluation mode.
        audio: Geometry of the mel.
        recordings: Held-out recordings of the speaker; may be empty.
        transcribe: The speech recogniser.
        language: Of what is spoken.

    Raises:
        InputError: A judge that was named in the configuration is not what it should be.
    """

    def __init__(
        self,
        networks: Networks,
        audio: AudioConfig,
        recordings: list[Clip],
        transcribe: TranscribeConfig,
        language: str,
    ) -> None:
        self.absent: dict[str, str] = {}
        """Judges that could not be asked, and why."""
        self._judges: list[Judge] = [Pitch(audio), Pace()]
        if networks.can_tokenize:
            self._judges.append(PhonemeErrors(networks.tokenizer, audio))
        else:
            self.absent["phoneme errors"] = "the voice has no trained tokenizer"
        self._add("word errors", lambda: Recognizer(transcribe, language))
        self._add("DNSMOS", Quality)
        if recordings:
            encoder = VoiceVector(networks.sovits.speaker_encoder, audio)
            self._judges += [
                Similarity("similarity_z_spk", encoder, recordings),
                Similarity("similarity_spectrum", LongTermSpectrum(audio), recordings, closeness),
            ]
            self._add("similarity", lambda: Similarity("similarity", Resemblyzer(), recordings))
        else:
            self.absent["similarity"] = (
                "no recordings of the speaker were given: reference=FOLDER_OR_MANIFEST"
            )

    def __call__(self, clips: list[Clip]) -> dict[str, Measure]:
        """All measures of the clips, and `rtf`, the time that making them took."""
        measures: dict[str, Measure] = {}
        for judge in self._judges:
            measures |= judge(clips)
        spent = [
            math.nan if clip.spent_seconds is None else clip.spent_seconds / clip.seconds
            for clip in clips
        ]
        return measures | {"rtf": Measure(spent, [clip.seconds for clip in clips])}

    def _add(self, name: str, make: Callable[[], Judge]) -> None:
        try:
            self._judges.append(make())
        except NotAvailableError as error:
            self.absent[name] = str(error)
            _LOG.warning("%s: %s", name, error)
