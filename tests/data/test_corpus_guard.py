from pathlib import Path

import pytest

from data.corpus.guard import EvaluationGuard, read_sentences
from data.errors import InputError
from data.manifest import Utterance

SENTENCES = ["The museum opens at nine.", "Hello.", "Don't wait for me"]


def row(text="Quite another text.", speaker="hibari-heart-00", source="hibari"):
    return Utterance("a", Path("a.flac"), text, speaker, "en", 2.0, "train", source)


@pytest.mark.parametrize(
    "name",
    [
        "asterisk-en",
        "asterisk-es",
        "asterisk-fr",
        "asterisk-it",
        "asterisk",
        "asterisk-core-sounds-en-g722",
        "asterisk-core-sounds-fr",
        "asterisk-prompt-it-menardi",
        "myvoice",
        "Allison",
    ],
)
def test_evaluation_voices_are_refused(name):
    assert EvaluationGuard().refuses_voice(name)
    with pytest.raises(InputError, match="evaluation voices in the corpus"):
        EvaluationGuard().check([row(), row(speaker=name)])
    with pytest.raises(InputError, match="evaluation voices in the corpus"):
        EvaluationGuard().check([row(source=name)])


@pytest.mark.parametrize(
    "name", ["asterisk-ru", "asterisk-core-sounds-ru-g722", "fillets-cs-big", "piper-joe-01"]
)
def test_other_voices_are_allowed(name):
    assert not EvaluationGuard().refuses_voice(name)


@pytest.mark.parametrize(
    "text",
    [
        "The museum opens at nine.",
        "the museum opens at nine",
        "They say the museum opens, at nine; then we go.",
        "Hello!",
        "Dont wait for me.",
    ],
)
def test_evaluation_sentences_are_refused(text):
    guard = EvaluationGuard(SENTENCES)
    assert guard.refuses_text(text)
    with pytest.raises(InputError, match="evaluation sentences"):
        guard.check([row(), row(text=text)])


@pytest.mark.parametrize(
    "text", ["The museum opens at ten.", "Hello, stranger.", "Some museum opens at nineteen"]
)
def test_other_sentences_are_allowed(text):
    guard = EvaluationGuard(SENTENCES)
    assert not guard.refuses_text(text)
    guard.check([row(text=text)])


def test_sentences_are_read_from_text_and_manifests(tmp_path):
    (tmp_path / "a.txt").write_text("# a comment\nOne sentence.\n\nAnother one.\n")
    (tmp_path / "m1.jsonl").write_text('{"text": "A row."}\n')
    (tmp_path / "m2.jsonl").write_text('{"text": "More.", "id": "x"}\n')
    sentences = read_sentences(["a.txt", "m*.jsonl"], tmp_path)
    assert sentences == ["One sentence.", "Another one.", "A row.", "More."]


def test_a_pattern_without_files_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no file matches 'b\*\.txt'"):
        read_sentences(["b*.txt"], tmp_path)


def test_a_row_without_text_is_an_error(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"words": "A row."}\n')
    with pytest.raises(InputError, match=r"m\.jsonl"):
        read_sentences(["m.jsonl"], tmp_path)
