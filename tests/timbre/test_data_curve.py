"""scripts/data_curve.py: each amount is trained once and judged; a stopped curve goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import InputError
from timbre import data_curve, evaluation
from timbre.commands import compose
from timbre.config import parse
from timbre.data_curve import DataCurveConfig, measure_curve
from timbre.data_curve_report import Curve, Estimate, Point, positions, table, write_report
from timbre.judges import panel
from timbre.judges.optional import NotAvailableError
from timbre.rundir import RunDir

TEXTS = ("data", "reference", "sentences", "output")
Configured = Callable[..., DataCurveConfig]


@pytest.fixture
def configured(
    tmp_path: Path,
    base_run: RunDir,
    equal_voice: list[str],
    voice: list[str],
    tiny: list[str],
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Configured:
    """`configured(*overrides)`: a voice of four clips of 1.28 s, and one of two speakers."""

    def absent(*_: object) -> None:
        raise NotAvailableError("not installed: pip install it")

    for judge in ("Recognizer", "Quality", "Resemblyzer"):
        monkeypatch.setattr(panel, judge, absent)
    monkeypatch.setattr(evaluation, "BASE", tmp_path / "nowhere")  # whether one is bundled or not
    monkeypatch.chdir(tmp_path)
    groups = tmp_path / "voices" / "data"
    groups.mkdir(parents=True)
    for name, words in (("one", equal_voice), ("two", voice)):
        manifest = words[0].partition("=")[2]
        (groups / f"{name}.yaml").write_text(f"name: {name}\nmanifest: {manifest}\n")
    (tmp_path / "sentences.txt").write_text("No.\n", encoding="utf-8")
    training = [
        *(word for word in tiny if not word.startswith("init=")),
        f"init={base_run.voice}",
        f"run.cache={workshop / 'cache'}",
        "data.reference_seconds=[1.0,1.0]",
        "train.modules=[gpt]",
        "train.frozen=[]",
        "train.updates=2",
        "validation.every=1000",
        *("validation.samples=0", "validation.clips=0", "validation.sentences=0"),
    ]

    def make(*overrides: str, more: tuple[str, ...] = ()) -> DataCurveConfig:
        quoted = ",".join(f"'{word}'" for word in [*training, *more])
        words = ["data=one", "seconds=[5,0,1.3]", "sentences=sentences.txt", f"training=[{quoted}]"]
        return parse(DataCurveConfig, compose("data_curve", [*words, *overrides], TEXTS))

    return make


def test_a_stopped_curve_goes_on_where_it_was(
    configured: Configured,
    tmp_path: Path,
    signal_at: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "runs" / "data-curve" / "one"
    signal_at(1, "gpt")
    assert measure_curve(configured()) == ("", 130)
    saved = json.loads((folder / "curve.json").read_text())
    assert [point["seconds"] for point in saved["points"]] == [0]
    assert saved["human"]["phoneme_error"]["mean"] >= 0
    assert not (folder / "curve.png").exists()

    answer, code = measure_curve(configured())
    assert code == 0
    commands = (folder / "1.3s" / "command.txt").read_text().splitlines()
    assert len(commands) == 2
    assert commands[1] == f"resume={Path('runs/data-curve/one/1.3s')}"
    curve = Curve.load(folder / "curve.json")
    facts = [(p.seconds, p.used_seconds, p.clips, p.updates) for p in curve.points]
    assert facts == [(0, 0, 0, 0), (1.3, 1.28, 1, 2), (5, 3.84, 3, 2)]
    assert all(point.minutes > 0 for point in curve.points[1:])
    assert all(point.measures["phoneme_error"].mean is not None for point in curve.points)
    assert answer.splitlines()[0].startswith("| seconds | used | clips | minutes | phonemes % |")
    assert answer.splitlines()[:-1] == table(curve).splitlines()
    assert table(curve) in (folder / "data_curve.md").read_text()
    for name in ("curve.png", "5s/voice/model.safetensors", "0s/evaluation/voice/000.wav"):
        assert (folder / name).stat().st_size > 0
    assert not (tmp_path / "runs" / "one").exists(), "the voice's own latest run is left alone"

    saved = json.loads((folder / "curve.json").read_text())
    saved["points"].pop()  # as if it had been stopped while the last voice was judged
    (folder / "curve.json").write_text(json.dumps(saved))
    monkeypatch.setattr(data_curve, "train", None)  # nothing is left to train
    assert measure_curve(configured()) == (answer, 0)

    monkeypatch.setattr(data_curve, "Evaluation", None)
    assert measure_curve(configured()) == (answer, 0)
    with pytest.raises(InputError, match=r"curve\.json is of another curve: seed was 1, and now"):
        measure_curve(configured("seed=2"))
    (folder / "curve.json").write_text("{}")
    with pytest.raises(InputError, match=r"curve\.json cannot be read"):
        measure_curve(configured())


@pytest.mark.parametrize(
    ("overrides", "more", "message"),
    [
        (["seconds=[1,6]"], (), r"seconds=6: .* has 5\.1 s in 4 recordings to train on"),
        (["seconds=[-1]"], (), "seconds has -1"),
        (["seconds=[]"], (), "give one or more"),
        (["seconds=[1,1]"], (), "different amounts"),
        (["repeats=0"], (), "repeats is 0"),
        (["data=two"], (), "has 2 speakers"),
        (["data=nobody"], (), "nobody"),
        ([], ("run.dir=x",), "training has 'run.dir=x'"),
        ([], ("experiment",), "training has 'experiment'"),
        ([], ("init=none",), "init=none trains from nothing"),
        ([], ("init=nowhere",), "nowhere"),
        ([], ("train.updatse=1",), "Did you mean 'updates'"),
        ([], ("trainer.devices=2",), r"trainer\.devices=2"),
        (["reference=nowhere"], (), "nowhere: no recordings there"),
        (["sentences=nowhere.txt"], (), r"nowhere\.txt cannot be read"),
        (["secnds=[1]"], (), "Did you mean 'seconds'"),
    ],
)
def test_wrong_input_is_named_before_anything_is_trained(
    configured: Configured,
    overrides: list[str],
    more: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(data_curve, "train", None)
    with pytest.raises(InputError, match=message):
        measure_curve(configured(*overrides, more=more))
    assert not (tmp_path / "runs").exists()


def test_a_start_of_one_voice_has_no_zero(
    configured: Configured, tmp_path: Path, signal_at: Callable[..., None]
) -> None:
    measure_curve(configured("seconds=[1.3]"))
    start = tmp_path / "runs" / "data-curve" / "one" / "1.3s" / "voice"
    with pytest.raises(InputError, match=r"is the voice of ada alone; leave 0 out"):
        measure_curve(configured("seconds=[0]", "output=again", more=(f"init={start}",)))


def test_amounts_stand_by_their_logarithm_and_nothing_left_of_them() -> None:
    zero, ten, hundred = positions([0.0, 10.0, 100.0])
    assert zero < ten
    assert (ten, hundred) == pytest.approx((1.0, 2.0))
    assert positions([0.0]) == positions([0.0, 1.0])[:1]


def test_the_report_has_intervals_and_the_human(tmp_path: Path) -> None:
    def point(seconds: float, wer: float | None, similarity: float) -> Point:
        measures = {
            "wer": Estimate(wer, wer and wer / 2, wer and 2 * wer),
            "similarity": Estimate(similarity, similarity - 0.02, similarity + 0.02),
        }
        return Point(seconds, seconds, int(seconds / 4), seconds / 10, 240, measures)

    human = {"similarity": Estimate(0.93, 0.92, 0.94), "wer": Estimate(0.02, 0.0, 0.05)}
    curve = Curve({"data": "me"}, human)
    for each in (point(60.0, 0.12, 0.86), point(0.0, 0.1, 0.57), point(10.0, None, 0.7)):
        curve.add(each)
    lines = table(curve).splitlines()
    assert lines[0] == "| seconds | used | clips | minutes | WER % | similarity |"
    assert lines[2].startswith("| 0 | 0.0 | 0 | 0.0 | 10.0 (5.0 to 20.0) | 0.570 (0.550 to 0.590)")
    assert lines[3].startswith("| 10 | 10.0 | 2 | 1.0 | – |")
    assert lines[5] == "| human |  |  |  | 2.0 (0.0 to 5.0) | 0.930 (0.920 to 0.940) |"
    write_report(tmp_path, curve)
    assert "How much speech does `me` need?" in (tmp_path / "data_curve.md").read_text()
    assert (tmp_path / "curve.png").stat().st_size > 0
    curve.save(tmp_path / "curve.json")
    assert Curve.load(tmp_path / "curve.json") == curve
