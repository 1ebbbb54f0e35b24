"""Manifests come back as written, and their mistakes are reported by file and line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.manifest import Utterance, read_manifest, write_manifest

ROW = {
    "id": "a-1",
    "audio": "clips/a.flac",
    "text": "Hello there.",
    "speaker": "anna",
    "language": "en",
    "seconds": 1.5,
    "split": "train",
}


def write_rows(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def utterance(folder: Path, **changes: object) -> Utterance:
    values = {**ROW, "audio": folder / "clips/a.flac", "source": "here", "licence": "CC0-1.0"}
    return Utterance(**{**values, **changes})


def test_round_trip(tmp_path: Path):
    written = [
        utterance(tmp_path),
        utterance(tmp_path, id="b", text='Žluťoučký kůň\u2028 "a"', language="cs"),
        utterance(tmp_path, id="c", split="validation", audio=Path("/elsewhere/c.wav")),
    ]
    write_manifest(tmp_path / "voice" / ".." / "m.jsonl", written)
    assert read_manifest(tmp_path / "m.jsonl", check_audio=False) == written


def test_audio_below_the_manifest_is_stored_relative(tmp_path: Path):
    write_manifest(tmp_path / "m.jsonl", [utterance(tmp_path)])
    assert json.loads((tmp_path / "m.jsonl").read_text())["audio"] == "clips/a.flac"


def test_manifest_and_audio_can_move_together(tmp_path: Path):
    (tmp_path / "old" / "clips").mkdir(parents=True)
    (tmp_path / "old" / "clips" / "a.flac").write_bytes(b"x")
    write_manifest(tmp_path / "old" / "m.jsonl", [utterance(tmp_path / "old")])
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_manifest(tmp_path / "new" / "m.jsonl")[0].audio.is_file()


def test_defaults_blank_lines_and_byte_order_mark(tmp_path: Path):
    path = tmp_path / "m.jsonl"
    path.write_text("\ufeff" + json.dumps(ROW) + "\r\n\n", encoding="utf-8")
    (row,) = read_manifest(path, check_audio=False)
    assert (row.source, row.licence, row.seconds) == ("", "", 1.5)


@pytest.mark.parametrize("missing", ROW)
def test_every_missing_field_is_named_with_its_line(tmp_path: Path, missing: str):
    bad = {name: value for name, value in ROW.items() if name != missing}
    path = write_rows(tmp_path / "m.jsonl", ROW, bad)
    with pytest.raises(InputError, match=rf"m\.jsonl:2: field '{missing}' is missing"):
        read_manifest(path, check_audio=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a/b"),
        ("id", 3),
        ("audio", ""),
        ("audio", None),
        ("audio", "a\0b"),
        ("text", "  "),
        ("text", 5),
        ("speaker", ""),
        ("language", "English"),
        ("language", ""),
        ("seconds", 0),
        ("seconds", -1.0),
        ("seconds", "2"),
        ("seconds", True),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
        ("split", "test"),
        ("split", ["train"]),
        ("source", None),
        ("licence", 1),
    ],
)
def test_every_wrong_value_is_named_with_its_line(tmp_path: Path, field: str, value: object):
    path = write_rows(tmp_path / "m.jsonl", ROW, {**ROW, "id": "b", field: value})
    with pytest.raises(InputError, match=rf"m\.jsonl:2: field '{field}' is .*must be"):
        read_manifest(path, check_audio=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a JSON object"),
        ("[1]", "expected a JSON object, found list"),
        ("null", "expected a JSON object"),
        (json.dumps({**ROW, "id": "b", "speeker": "x"}), "unknown field 'speeker'"),
        (json.dumps(ROW), "already used in line 1"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, message: str):
    with pytest.raises(InputError, match=f"m.jsonl:2: .*{message}"):
        read_manifest(write_rows(tmp_path / "m.jsonl", ROW, line), check_audio=False)


def test_missing_audio_is_reported_unless_told_not_to(tmp_path: Path):
    path = write_rows(tmp_path / "m.jsonl", ROW)
    with pytest.raises(InputError, match=r"m\.jsonl:1: audio file .*a\.flac does not exist"):
        read_manifest(path)
    assert len(read_manifest(path, check_audio=False)) == 1


def test_missing_empty_and_binary_files(tmp_path: Path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "empty").write_text("\n")
    for name, message in {
        "none": "no such manifest",
        "binary": "not UTF-8",
        "empty": "no utterances",
        "": "cannot read",
    }.items():
        with pytest.raises(InputError, match=message):
            read_manifest(tmp_path / name)


def test_invalid_rows_are_not_written(tmp_path: Path):
    good = utterance(tmp_path)
    write_manifest(tmp_path / "m.jsonl", [good])
    before = (tmp_path / "m.jsonl").read_text()
    for bad in ([good, good], [replace(good, split="test")], [replace(good, seconds=-1.0)]):
        with pytest.raises(InputError, match=r"m\.jsonl:\d"):
            write_manifest(tmp_path / "m.jsonl", bad)
    assert (tmp_path / "m.jsonl").read_text() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "m.jsonl"]


@given(st.text(max_size=40))
def test_any_line_is_refused_as_input_error(tmp_path_factory: pytest.TempPathFactory, line: str):
    path = tmp_path_factory.mktemp("m") / "m.jsonl"
    path.write_bytes(line.encode("utf-8", errors="surrogatepass"))
    # No such line is a complete row, so each must be refused as the user's mistake.
    with pytest.raises(InputError, match=r"m\.jsonl"):
        read_manifest(path)
