"""The web application: a page, the list of voices, and speech.

`POST /v1/audio/speech` takes what OpenAI's clients send. One text is spoken at a time, on all the
cores there are; others wait their turn, as many as `queue` allows.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files

import anyio
from anyio.to_thread import run_sync
from numpy import ndarray
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from data.errors import InputError
from timbre.marking import Watermark
from timbre.serving.config import LOOPBACK, ServeConfig
from timbre.serving.request import SpeechRequest, read_request
from timbre.serving.shelf import Shelf, UnknownVoiceError
from timbre.serving.sound import FORMATS, encode, head, samples

_BYTES_PER_CHARACTER = 12
"""JSON may write a character as two escapes of six."""
_ROOM_BYTES = 4096
"""Of a request's body, for all but the text."""
_PAGE_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " + (
    "connect-src 'self'; media-src blob:"
)


class BusyError(Exception):
    """More requests wait than may."""


class Turns:
    """One request after the other, and no more waiting than there is room for.

    Args:
        room: Requests that may wait.
    """

    def __init__(self, room: int) -> None:
        self._room, self._inside = room, 0
        self._lock = anyio.Lock()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Waits until it is the caller's turn.

        Raises:
            BusyError: There is no room to wait in.
        """
        if self._inside > self._room:
            raise BusyError
        self._inside += 1
        try:
            async with self._lock:
                yield
        finally:
            self._inside -= 1


class Speech:
    """An answer that is spoken when its turn comes, and no longer than the client listens.

    Args:
        request: What to say.
        shelf: The voices.
        turns: Whose turn it is.
        watermark: Marks the speech; None leaves it unmarked.
    """

    def __init__(
        self, request: SpeechRequest, shelf: Shelf, turns: Turns, watermark: Watermark | None
    ) -> None:
        self._request, self._shelf = request, shelf
        self._turns, self._watermark = turns, watermark
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speaks and sends (ASGI)."""
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            try:
                async with self._turns.take():
                    answer = await self._answer(send)
            except BusyError:
                answer = _error(
                    503, "too many requests are waiting; try again", {"Retry-After": "5"}
                )
            except InputError as error:
                if self._begun:
                    raise  # breaks the connection off: the client must see that more was to come
                answer = _error(404 if isinstance(error, UnknownVoiceError) else 400, str(error))
            if answer is not None:
                await answer(scope, receive, send)
            group.cancel_scope.cancel()

    async def _answer(self, send: Send) -> Response | None:
        """Speaks; a stream has been sent when this returns None."""
        request, kind = self._request, self._request.response_format
        voice = await run_sync(self._shelf.take, request.voice, request.speaker)
        rate = voice.sample_rate_hz
        headers = {"X-Sample-Rate": str(rate), "Cache-Control": "no-store"}
        if request.stream:
            chunks = voice.stream(request.input, request.manner, request.language)
        else:
            pieces = voice.sentences(request.input, request.manner, request.language)
            chunks = (piece.audio for piece in pieces)
        if self._watermark is not None:
            chunks = self._watermark.mark_stream(chunks, rate)
        # Most faults of a text are found with the first chunk: until then a stream can be refused.
        spoken = list[ndarray]()
        while (chunk := await run_sync(_next, chunks)) is not None:
            if not request.stream:
                spoken.append(chunk)
                continue
            if not self._begun:
                self._begun = True
                await _begin(send, FORMATS[kind], headers)
                await _body(send, head(rate, kind))
            await _body(send, samples(chunk))
        if request.stream:
            await _body(send, b"", more=False)
            return None
        sound = await run_sync(encode, spoken, rate, kind)
        return Response(sound, media_type=FORMATS[kind], headers=headers)


def make_app(config: ServeConfig, key: str = "") -> Starlette:
    """The application.

    Args:
        config: Which voices, and the limits.
        key: What clients must show as `Authorization: Bearer KEY`; empty: nothing.

    Raises:
        InputError: A voice cannot be served, or others could reach it without a key.
    """
    if config.host not in LOOPBACK and not key:
        raise InputError(
            f"host={config.host} lets others in: set a key in the environment variable "
            f"{config.key_variable}, or leave host={LOOPBACK[1]}"
        )
    shelf = Shelf(config.voice, config.loaded, config.weights)
    watermark = Watermark() if config.watermark else None
    turns = Turns(config.queue)
    page = files("timbre.serving").joinpath("page.html").read_text(encoding="utf-8")

    async def show(request: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def voices(request: Request) -> Response:
        return JSONResponse(
            {
                "voices": [
                    {
                        "name": name,
                        "language": header.language,
                        "speakers": header.speakers,
                        "sample_rate_hz": header.audio.sample_rate_hz,
                    }
                    for name, header in shelf.headers.items()
                ]
            }
        )

    async def speech(request: Request) -> Response | Speech:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _error(415, "send the request as application/json")
        limit = _BYTES_PER_CHARACTER * config.max_characters + _ROOM_BYTES
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > limit:
                return _error(413, f"the text is longer than {config.max_characters} characters")
        try:
            return Speech(read_request(body, config.max_characters), shelf, turns, watermark)
        except InputError as error:
            return _error(400, str(error))

    def locked(endpoint: Callable[[Request], Awaitable]) -> Callable[[Request], Awaitable]:
        async def checked(request: Request) -> Response | Speech:
            shown = request.headers.get("authorization", "").removeprefix("Bearer ")
            if key and not hmac.compare_digest(shown.encode(), key.encode()):
                return _error(401, "show the key: Authorization: Bearer KEY")
            answer: Response | Speech = await endpoint(request)
            return answer

        return checked

    # Without a key, a page of another site could be given this machine's address by its own name
    # server, and ask in its visitor's name.
    hosts = ["*"] if key else [*LOOPBACK]
    return Starlette(
        routes=[
            Route("/", show),
            Route("/health", health),
            Route("/v1/voices", locked(voices)),
            Route("/v1/audio/speech", locked(speech), methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
    )


def _next(chunks: Iterator[ndarray]) -> ndarray | None:
    return next(chunks, None)


async def _begin(send: Send, media_type: str, headers: dict[str, str]) -> None:
    pairs = {"content-type": media_type, **headers}.items()
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def _body(send: Send, content: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": more})


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error as OpenAI's clients understand it."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    if status >= 500:
        error["type"] = "server_error"
    return JSONResponse({"error": error}, status, headers)
