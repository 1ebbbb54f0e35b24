"""flite: four small voices of the Debian package of that name, at 16 kHz."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32
from numpy import ndarray

from data.errors import InputError

_VOICES = ("awb", "kal16", "rms", "slt")


class FliteTeacher:
    """A voice of the `flite` command.

    Args:
        base: awb, kal16, rms or slt.
    """

    sample_rate_hz = 16_000
    licence = "MIT-Festival"

    def __init__(self, base: str) -> None:
        if base not in _VOICES:
            raise InputError(f"unknown flite voice {base!r}; known are {', '.join(_VOICES)}")
        command = shutil.which("flite")
        if command is None:
            raise InputError("the command flite is missing; install it: apt-get install flite")
        self._command, self._base = command, base

    def speak(self, text: str, pace: float, seed: int) -> Float32[ndarray, " samples"]:
        """Speak a text; flite has no random parts, so `seed` changes nothing."""
        del seed
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "speech.wav"
            command = [self._command, "-voice", self._base, "-o", str(output)]
            command += ["--setf", f"duration_stretch={1 / pace:.4f}", "-t", text]
            subprocess.run(command, check=True, capture_output=True)
            audio, rate = soundfile.read(output, dtype="float32")
        if rate != self.sample_rate_hz:
            raise RuntimeError(f"flite voice {self._base} speaks at {rate} Hz, not 16000")
        return np.asarray(audio, dtype=np.float32)
