"""Step 2a: where somebody speaks, by Silero VAD."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from data.errors import InputError

SAMPLE_RATE_HZ = 16_000
FRAME_SECONDS = 512 / SAMPLE_RATE_HZ
ACTIVITY_VERSION = "silero-vad 16k sequence, 1"
_CONTEXT, _FRAME, _BLOCK = 64, 512, 512
_RELEASE = 0.15  # below `activity` by this much, speech is over: Silero's own hysteresis
_MIN_SPEECH_SECONDS = 0.1
_JOIN_SECONDS = 0.1


@dataclass(frozen=True)
class Region:
    """Uninterrupted speech."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""


@runtime_checkable
class SpeechActivity(Protocol):
    """Hears speech."""

    def __call__(self, audio: Float32[ndarray, " samples"]) -> Float32[ndarray, " frames"]:
        """Return the probability of speech in each 32 ms of 16 kHz audio."""


class SileroActivity:
    """Silero VAD v6 (MIT), by the model inside the wheel, on one thread and without torch.

    Raises:
        InputError: silero-vad is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("silero_vad")
        path = Path(found.origin).parent / "data" if found and found.origin else Path()
        model = path / "silero_vad_16k_sequence.onnx"
        if not model.is_file():
            raise InputError(
                "preparation needs silero-vad 6.2.3 or newer, which is not installed: "
                "pip install 'timbre-voice[prepare]'"
            )
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, audio: Float32[ndarray, " samples"]) -> Float32[ndarray, " frames"]:
        """Return the probability of speech in each 32 ms of 16 kHz audio."""
        frames = np.pad(audio, (0, -len(audio) % _FRAME)).reshape(-1, _FRAME)
        context = np.zeros((len(frames), _CONTEXT), dtype=np.float32)
        context[1:] = frames[:-1, -_CONTEXT:]
        inputs = np.concatenate([context, frames], axis=1).astype(np.float32)
        h = c = np.zeros((1, 1, 128), dtype=np.float32)
        heard = []
        for start in range(0, len(inputs), _BLOCK):
            block = {"input": inputs[start : start + _BLOCK], "h": h, "c": c}
            speech, h, c = self._session.run(None, block)
            heard.append(np.asarray(speech, dtype=np.float32).reshape(-1))
        return np.concatenate(heard) if heard else np.zeros(0, dtype=np.float32)


def speech_regions(
    speech: Float32[ndarray, " frames"], seconds: float, activity: float
) -> list[Region]:
    """Return where the probability of speech is high, in order.

    Speech begins at `activity` and ends 0.15 below it; gaps under 0.1 s are within words, and
    regions under 0.1 s are noises.

    Args:
        speech: probability of speech in each 32 ms.
        seconds: length of the recording; no region goes beyond.
        activity: probability from which on it is speech.
    """
    regions: list[list[float]] = []
    start = None
    for index, value in enumerate([*speech.tolist(), 0.0]):
        if start is None and value >= activity:
            start = index
        elif start is not None and (value < activity - _RELEASE or index == len(speech)):
            begin, end = start * FRAME_SECONDS, min(index * FRAME_SECONDS, seconds)
            if regions and begin - regions[-1][1] < _JOIN_SECONDS:
                regions[-1][1] = end
            else:
                regions.append([begin, end])
            start = None
    return [Region(b, e) for b, e in regions if e - b >= _MIN_SPEECH_SECONDS]
