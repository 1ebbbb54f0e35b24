"""A request for speech: the fields of OpenAI's `/v1/audio/speech`, and Timbre's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from omegaconf import OmegaConf

from data.errors import InputError
from timbre.commands import as_text
from timbre.config import parse
from timbre.serving.sound import FORMATS, STREAMED
from timbre.synthesizer import MannerSettings


@dataclass(frozen=True, kw_only=True)
class SpeechRequest(MannerSettings):
    """What is to be said, by whom and how."""

    input: str = ""
    """The text."""
    voice: str = ""
    """Name of a served voice; empty: the first."""
    model: str = ""
    """Clients of OpenAI's send one; it means nothing here."""
    response_format: str = "wav"
    """wav, flac, mp3, opus, or pcm: 16-bit little-endian samples without a header."""
    stream: bool = False
    """Whether sound is sent while it is being spoken; wav and pcm only."""
    speaker: str | None = None
    """Which voice of a bundle that has several, or a mixture such as `ada:0.7+bob:0.3`."""
    language: str | None = None
    """Language of the text; None: the voice's, or English."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.response_format not in FORMATS:
            raise ValueError(
                f"response_format is {self.response_format!r}; give one of {', '.join(FORMATS)}"
            )
        if self.stream and (self.response_format not in STREAMED or self.candidates > 1):
            raise ValueError(f"a stream is {' or '.join(STREAMED)}, and has one candidate")


def read_request(body: bytes, max_characters: int) -> SpeechRequest:
    """A request from its JSON.

    Raises:
        InputError: It is no JSON object, has a key that is unknown or of a wrong type, or its text
            is missing or too long.
    """
    try:
        values = json.loads(body)
    except ValueError as error:
        raise InputError(f"the body is no JSON ({error})") from error
    text = values.pop("input", None) if isinstance(values, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise InputError('give a JSON object with the text to say: {"input": "Hello."}')
    if len(text) > max_characters:
        raise InputError(
            f"the text has {len(text)} characters, and {max_characters} are allowed; cut it"
        )
    # To OmegaConf ${...} would mean a variable of the environment.
    plain = {k: as_text(v) if isinstance(v, str) else v for k, v in values.items()}
    try:
        return replace(parse(SpeechRequest, OmegaConf.create(plain)), input=text)
    except InputError as error:
        raise InputError(str(error).removeprefix("configuration: ")) from error
