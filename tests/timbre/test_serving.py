"""Served voices: what the files say, over HTTP; who may ask, how much, and for which voices."""

from __future__ import annotations

import io
import shutil
import socket
import threading
import time
from pathlib import Path

import anyio
import httpx2 as httpx
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from data.errors import InputError
from timbre.rundir import RunDir
from timbre.serving.app import BusyError, Turns, make_app
from timbre.serving.config import ServeConfig
from timbre.serving.request import read_request
from timbre.serving.server import serve
from timbre.serving.shelf import Shelf, UnknownVoiceError
from timbre.synthesis import COMMENT, SynthesisConfig, synthesize_files
from timbre.synthesizer import Synthesizer

TEXT = "Hello there. How are you?"
KEY = "secret"


def client_of(base_run: RunDir, key: str = "", **settings) -> TestClient:
    settings = {"voice": str(base_run.voice), "watermark": False, **settings}
    return TestClient(make_app(ServeConfig(**settings), key), base_url="http://localhost")


@pytest.fixture(scope="module")
def client(base_run: RunDir) -> TestClient:
    return client_of(base_run)


@pytest.fixture
def say(client: TestClient):
    """`say(**request)`: the answer."""

    def post(**request) -> httpx.Response:
        return client.post("/v1/audio/speech", json={"input": TEXT, "speaker": "ada", **request})

    return post


def fault(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def sound(answer: httpx.Response) -> np.ndarray:
    return soundfile.read(io.BytesIO(answer.content), dtype="int16")[0]


@pytest.fixture
def written(base_run: RunDir, tmp_path: Path):
    """What scripts/synthesize.py writes."""
    path = tmp_path / "said.wav"
    common = {"voice": str(base_run.voice), "speaker": "ada", "watermark": False}
    synthesize_files(SynthesisConfig(text=TEXT, output=str(path), **common))
    return soundfile.read(path, dtype="int16")[0]


def test_speech_is_that_of_the_command(say, written: np.ndarray) -> None:
    answer = say()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    np.testing.assert_array_equal(sound(answer), written)
    with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
        assert (file.samplerate, file.comment) == (24000, COMMENT)


@pytest.mark.parametrize(("kind", "close"), [("flac", 0), ("mp3", 0.3), ("opus", 0.3)])
def test_other_formats_hold_the_same_speech(say, written, kind: str, close: float) -> None:
    heard = sound(say(response_format=kind))
    assert len(heard) >= len(written)
    difference = heard[: len(written)].astype(float) - written
    # MP3 and Opus of noise, which a tiny model speaks, are only near.
    assert np.abs(difference).mean() <= close * np.abs(written).mean() + (kind != "flac") * 2000


def test_samples_without_a_header(say, written: np.ndarray) -> None:
    answer = say(response_format="pcm")
    assert answer.headers["x-sample-rate"] == "24000"
    np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), written)


@pytest.mark.parametrize("kind", ["wav", "pcm"])
def test_a_stream_comes_in_parts_and_is_the_whole(base_run, kind: str) -> None:
    with (
        client_of(base_run) as client,
        client.stream(
            "POST",
            "/v1/audio/speech",
            json={"input": TEXT, "speaker": "ada", "stream": True, "response_format": kind},
        ) as answer,
    ):
        parts = [*answer.iter_raw()]
    assert len(parts) > 2
    content = b"".join(parts)
    if kind == "wav":
        assert content[:4] == b"RIFF"
        content = content[44:]
    voice = Shelf(str(base_run.voice)).take("", "ada")
    whole = np.concatenate([*voice.stream(TEXT, read_request(b'{"input": "a"}', 9).manner)])
    heard = np.frombuffer(content, "<i2") / 32767
    np.testing.assert_allclose(heard, np.clip(whole, -1, 1), atol=2e-3)


def test_what_is_served_is_marked(base_run: RunDir, written: np.ndarray) -> None:
    with client_of(base_run, watermark=True) as client:
        heard = sound(client.post("/v1/audio/speech", json={"input": TEXT, "speaker": "ada"}))
    assert len(heard) == len(written)
    assert not np.array_equal(heard, written)


def test_voices_are_listed(client: TestClient) -> None:
    (voice,) = client.get("/v1/voices").json()["voices"]
    assert voice["speakers"] == ["ada", "bob"]
    assert voice["sample_rate_hz"] == 24000


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<form>" in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text


def test_faults_of_a_request_are_told(say, client: TestClient) -> None:
    for request, status, message in (
        ({"input": " "}, 400, "the text to say"),
        ({"input": 3}, 400, "the text to say"),
        ({"input": "..."}, 400, "nothing that can be said"),
        ({"input": "a" * 5001}, 400, "5001 characters, and 5000 are allowed"),
        ({"voice": "eve"}, 404, "no voice 'eve'"),
        ({"voice": "../secrets"}, 404, "no voice"),
        ({"speaker": "eve"}, 400, "speaker 'eve' is not in this voice"),
        ({"speaker": None}, 400, "2 speakers"),
        ({"speed": 9}, 400, "speed is 9.0; give 0.25 to 4.0"),
        ({"speed": "fast"}, 400, "speed"),
        ({"temperature": -1}, 400, "temperature"),
        ({"response_format": "aiff"}, 400, "give one of wav, flac"),
        ({"stream": True, "response_format": "mp3"}, 400, "a stream is wav or pcm"),
        ({"stream": True, "input": "..."}, 400, "nothing that can be said"),
        ({"sped": 1}, 400, "Did you mean 'speed'?"),
        ({"language": "xx"}, 400, "xx"),
        ({"voice": "${oc.env:HOME}"}, 404, "no voice '${oc.env:HOME}'"),
    ):
        code, said = fault(say(**request))
        assert (code, message in said) == (status, True), (request, code, said)
    for body in (b"[]", b"{", b"3", b"\xff"):
        answer = client.post(
            "/v1/audio/speech", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
    assert client.post("/v1/audio/speech", content=b'{"input": "a"}').status_code == 415


def test_a_text_may_hold_what_means_something_to_hydra() -> None:
    for text in ("${oc.env:HOME}", "???", "a=b, [c]"):
        body = f'{{"input": "{text}", "model": "tts-1"}}'.encode()
        assert read_request(body, 99).input == text


def test_a_long_body_is_not_even_read(client: TestClient) -> None:
    sent = 0

    def parts():
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b" " * 10_000

    answer = client.post(
        "/v1/audio/speech", content=parts(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_without_the_key_nothing_is_told(base_run: RunDir) -> None:
    client = client_of(base_run, KEY, host="0.0.0.0")
    request = {"input": "Hello.", "speaker": "ada"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer ü"}):
        coded = {name: value.encode() for name, value in headers.items()}
        assert client.get("/v1/voices", headers=coded).status_code == 401
        assert client.post("/v1/audio/speech", json=request, headers=coded).status_code == 401
    shown = {"Authorization": f"Bearer {KEY}"}
    assert client.get("/v1/voices", headers=shown).status_code == 200
    assert client.post("/v1/audio/speech", json=request, headers=shown).status_code == 200
    assert client.get("/health").status_code == 200


def test_others_are_let_in_with_a_key_only(base_run: RunDir) -> None:
    with pytest.raises(InputError, match="TIMBRE_KEY"):
        client_of(base_run, host="0.0.0.0")


def test_another_name_for_this_machine_is_refused(client: TestClient) -> None:
    assert client.get("/v1/voices", headers={"Host": "elsewhere.example"}).status_code == 400
    assert client.get("/v1/voices", headers={"Host": "127.0.0.1:8000"}).status_code == 200


def test_a_folder_of_voices(base_run: RunDir, tmp_path: Path) -> None:
    for name in ("eve", "fay", "gil"):
        shutil.copytree(base_run.voice, tmp_path / name)
    shelf = Shelf(str(tmp_path), loaded=2)
    assert [*shelf.headers] == ["eve", "fay", "gil"]
    first = shelf.take("eve", "ada")
    assert shelf.take("eve", "bob").networks is first.networks
    assert not np.array_equal(shelf.take("eve", "bob").z_spk, first.z_spk)
    shelf.take("fay", "ada")
    shelf.take("gil", "ada")
    assert shelf.take("eve", "ada").networks is not first.networks
    with pytest.raises(UnknownVoiceError, match="eve, fay, gil"):
        shelf.take("hal", None)
    with pytest.raises(InputError, match="two voices are called 'eve'"):
        Shelf(f"{tmp_path},{tmp_path}")
    with pytest.raises(InputError, match="nobody"):
        Shelf(f"{tmp_path},nobody")


def test_turns_are_taken_one_after_the_other() -> None:
    inside, most, done = 0, 0, []

    async def visit(turns: Turns, number: int) -> None:
        nonlocal inside, most
        async with turns.take():
            inside += 1
            most = max(most, inside)
            await anyio.sleep(0.01)
            inside -= 1
            done.append(number)

    async def all_of_them() -> None:
        turns = Turns(2)
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(visit, turns, number)
            await anyio.sleep(0.001)
            with pytest.raises(BusyError):
                await visit(turns, 3)
        await visit(turns, 4)

    anyio.run(all_of_them)
    assert (most, done) == (1, [0, 1, 2, 4])


def test_a_fault_in_the_middle_of_a_stream_breaks_it_off(base_run: RunDir, monkeypatch) -> None:
    def broken(*arguments):
        yield np.zeros(240, dtype=np.float32)
        raise InputError("the rest cannot be said")

    monkeypatch.setattr(Synthesizer, "stream", broken)
    request = {"input": "Hello.", "speaker": "ada", "stream": True}
    with client_of(base_run) as client, pytest.raises(ExceptionGroup) as caught:
        client.post("/v1/audio/speech", json=request)
    assert caught.group_contains(InputError, match="the rest cannot be said")


def test_too_many_requests_are_sent_away(base_run: RunDir, monkeypatch) -> None:
    speaking, go_on = threading.Event(), threading.Event()
    sentences = Synthesizer.sentences

    def slow(*arguments):
        speaking.set()
        assert go_on.wait(20)
        yield from sentences(*arguments)

    monkeypatch.setattr(Synthesizer, "sentences", slow)
    request = {"input": "Hello.", "speaker": "ada"}
    with client_of(base_run, queue=0) as client:
        answers: list[httpx.Response] = []
        first = threading.Thread(
            target=lambda: answers.append(client.post("/v1/audio/speech", json=request))
        )
        first.start()
        assert speaking.wait(20)
        busy = client.post("/v1/audio/speech", json=request)
        go_on.set()
        first.join()
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    assert answers[0].status_code == 200


def test_who_stops_listening_is_not_spoken_to(base_run: RunDir, monkeypatch) -> None:
    """Nor does the next one wait until all would have been said."""
    app = make_app(ServeConfig(voice=str(base_run.voice), watermark=False))
    chunks = 0

    def endless(*arguments):
        nonlocal chunks
        while True:
            chunks += 1
            time.sleep(0.01)
            yield np.zeros(240, dtype=np.float32)

    monkeypatch.setattr(Synthesizer, "stream", endless)
    body = b'{"input": "Hello.", "speaker": "ada", "stream": true}'
    scope = {
        **{"type": "http", "method": "POST", "path": "/v1/audio/speech", "query_string": b""},
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }

    async def go() -> None:
        gone, asked = anyio.Event(), False

        async def receive() -> dict:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            if chunks == 5:
                gone.set()

        with anyio.fail_after(20):
            await app(scope, receive, send)

    anyio.run(go)
    assert 5 <= chunks < 100


def test_an_address_in_use_is_told(base_run: RunDir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="cannot listen there"):
            serve(ServeConfig(voice=str(base_run.voice), port=port, watermark=False))
