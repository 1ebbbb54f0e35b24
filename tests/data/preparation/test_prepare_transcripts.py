import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.errors import InputError
from data.preparation.config import PrepareConfig
from data.preparation.recordings import find_recordings
from data.preparation.transcripts import read_transcripts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wavs").mkdir()
    for name in ("a", "b", "c", "d"):
        soundfile.write(tmp_path / "wavs" / f"{name}.wav", np.zeros(100), 16_000)
    return tmp_path


def found(folder: Path, **settings: object) -> list[tuple[str, str, str | None, str | None]]:
    config = PrepareConfig(input=str(folder), speaker="me", **settings)  # type: ignore[arg-type]
    return [(r.path.stem, r.speaker, r.text, r.language) for r in find_recordings(config)]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_folder_without_transcripts(folder: Path) -> None:
    write(folder / "notes.md", "not audio")
    assert found(folder) == [(name, "me", None, None) for name in "abcd"]


def test_one_file(folder: Path) -> None:
    assert found(folder / "wavs" / "b.wav") == [("b", "me", None, None)]


def test_text_beside_each_clip(folder: Path) -> None:
    write(folder / "wavs" / "a.txt", "\ufeffHello\nthere. ")
    write(folder / "wavs" / "b.lab", "Good bye.")
    write(folder / "wavs" / "c.txt", "  ")
    expected = [("a", "me", "Hello there.", None), ("b", "me", "Good bye.", None)]
    assert found(folder) == [*expected, ("c", "me", None, None), ("d", "me", None, None)]


def test_ljspeech_prefers_the_normalised_text(folder: Path) -> None:
    write(folder / "metadata.csv", "a|Chapter 1|Chapter one", "b|Hello|", "c|Text | only")
    rows = [("a", "me", "Chapter one", None), ("b", "me", "Hello", None)]
    assert found(folder) == [*rows, ("c", "me", "only", None)]


def test_piper_with_speakers(folder: Path) -> None:
    rows = [f"{name}|{who}|This is what is said." for name, who in zip("abcd", "xyxy", strict=True)]
    write(folder / "metadata.csv", *rows)
    assert [row[1] for row in found(folder)] == ["x", "y", "x", "y"]
    assert {row[2] for row in found(folder)} == {"This is what is said."}


def test_f5_with_header(folder: Path) -> None:
    write(folder / "metadata.csv", "audio_file|text", "wavs/a.wav|Hello.", "wavs/b.wav|Bye.")
    assert found(folder) == [("a", "me", "Hello.", None), ("b", "me", "Bye.", None)]


def test_gpt_sovits_list_of_another_machine(folder: Path) -> None:
    listed = write(
        folder / "set.list",
        "output/slicer/a.wav|anna|EN|Hello | there.",
        "/recordings/b.wav|ben|JP|こんにちは。",
    )
    assert found(folder, transcripts=str(listed)) == [
        ("a", "anna", "Hello | there.", "en"),
        ("b", "ben", "こんにちは。", "ja"),
    ]


def test_json_lines(folder: Path) -> None:
    rows = [
        {"audio": "wavs/a.wav", "text": "Hello.", "speaker": "anna", "language": "en"},
        {"audio_filepath": "b.wav", "sentence": "Hallo."},
    ]
    write(folder / "metadata.jsonl", *map(json.dumps, rows))
    assert found(folder) == [("a", "anna", "Hello.", "en"), ("b", "me", "Hallo.", None)]


def test_speakers_by_folder(tmp_path: Path) -> None:
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "1.flac", np.zeros(100), 16_000)
    assert [row[1] for row in found(tmp_path, speakers_by_folder=True)] == ["anna", "ben"]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("metadata.csv", ["a|Hello", "b"], r"metadata.csv:2: 1 columns"),
        ("metadata.csv", ["a|Hello", "", "b|"], r"metadata.csv:3: 'b' has no text"),
        ("metadata.csv", ["a|Hello", "|there"], r"metadata.csv:2: the first column is empty"),
        ("metadata.csv", ["a|Hello", "a.wav|Hello"], r"metadata.csv:2: a.wav is already listed in"),
        ("metadata.csv", ["zz|Hello"], r"metadata.csv:1: audio file 'zz' does not exist"),
        ("set.list", ["a.wav|anna|Hello"], r"set.list:1: 3 columns"),
        ("set.list", ["a.wav|anna|e n|Hello"], r"set.list:1: language 'e n'"),
        ("x.jsonl", ['{"audio": "a.wav"}'], r"x.jsonl:1: no text"),
        ("x.jsonl", ['{"text": "Hello"}'], r"x.jsonl:1: no audio file"),
        ("x.jsonl", ['{"audio": "a", "text": "b", "speaker": 1}'], r"x.jsonl:1: 'speaker' is 1"),
        ("x.jsonl", ["[1]"], r"x.jsonl:1: expected a JSON object"),
        ("x.jsonl", ["{"], r"x.jsonl:1: not a JSON object"),
        ("x.csv", ["", " "], r"x.csv: the list is empty"),
    ],
)
def test_errors_name_file_and_line(folder: Path, name: str, lines: list[str], message: str) -> None:
    listed = write(folder / name, *lines)
    with pytest.raises(InputError, match=message):
        found(folder, transcripts=str(listed))


def test_swapped_columns_are_told_however_long_the_text(folder: Path) -> None:
    text = "A sentence that is far too long for the name of a file. " * 9
    write(folder / "metadata.csv", f"{text}|a")
    with pytest.raises(
        InputError, match=r"metadata.csv:1: audio file 'A sentence.* does not exist"
    ):
        found(folder)


def test_other_encodings_are_refused_by_line(folder: Path) -> None:
    (folder / "metadata.csv").write_bytes("a|Hello\nb|Grüße\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"metadata.csv:2: not UTF-8"):
        found(folder)
    (folder / "metadata.csv").unlink()
    (folder / "wavs" / "a.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(InputError, match=r"a.txt:1: not UTF-8"):
        found(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recordings there"):
        found(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        found(tmp_path / "missing")
    with pytest.raises(InputError, match=r"transcripts=.*no such file"):
        found(tmp_path, transcripts=str(tmp_path / "missing.csv"))


def test_two_lists_need_a_choice(folder: Path) -> None:
    write(folder / "metadata.csv", "a|Hello")
    write(folder / "set.list", "a.wav|anna|en|Hello")
    with pytest.raises(InputError, match="several transcript lists"):
        found(folder)


def test_windows_line_ends(folder: Path) -> None:
    (folder / "metadata.csv").write_bytes(b"\xef\xbb\xbfa|Hello\r\nb|Bye\r\n")
    assert [row.text for row in read_transcripts(folder / "metadata.csv")] == ["Hello", "Bye"]
