"""The data module: exact resume, workers, processes, validation, and what users get wrong."""

import math
import subprocess
import sys
from dataclasses import fields, replace
from itertools import islice

import lightning
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from data.augment import AugmentConfig
from data.batch import Batch
from data.config import DataConfig, ReplayConfig
from data.datamodule import EndlessBatches, VoiceDataModule
from data.errors import InputError
from data.mel import AudioConfig

CONFIG = AudioConfig()


@pytest.fixture
def voice(make_voice):
    return make_voice("voice", {"ann": 8, "bob": 5})


@pytest.fixture
def module_of(voice, tmp_path):
    def make(**changes) -> VoiceDataModule:
        settings = {
            "manifest": str(voice),
            "max_frames": 500,
            "max_items": 5,
            "reference_seconds": [0.2, 0.4],
            "workers": 0,
            "augment": AugmentConfig(noise_probability=0.5),
        }
        tokenizer = changes.pop("tokenizer", {})
        config = DataConfig(**{**settings, **changes})
        module = VoiceDataModule(config, CONFIG, tmp_path / "cache", **tokenizer)
        module.setup()
        return module

    return make


def first(module: VoiceDataModule, count: int, update: int = 0) -> list[Batch]:
    module.update = update
    return list(islice(module.train_dataloader(), count))


def assert_equal(one: Batch, two: Batch) -> None:
    assert one.ids == two.ids
    for field in fields(Batch):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if isinstance(left, torch.Tensor):
            assert torch.equal(left, right), field.name
        else:
            assert left == right, field.name


def test_resuming_continues_the_straight_run(module_of):
    straight = first(module_of(), 12)
    for update in (1, 7):
        resumed = first(module_of(), 12 - update, update)
        for one, two in zip(straight[update:], resumed, strict=True):
            assert_equal(one, two)
    other = first(module_of(seed=1), 12)
    assert [b.ids for b in other] != [b.ids for b in straight]


def test_workers_change_nothing(module_of):
    alone, helped = first(module_of(), 7, 2), first(module_of(workers=2), 7, 2)
    for one, two in zip(alone, helped, strict=True):
        assert_equal(one, two)


def test_two_processes_share_each_batch(module_of):
    module = module_of()
    whole = [EndlessBatches(module._datasets["train"], module._order, CONFIG)]
    parts = [
        EndlessBatches(module._datasets["train"], module._order, CONFIG, rank, world=2)
        for rank in range(2)
    ]
    for update in range(8):
        one, (even, odd) = whole[0].batch(update), [part.batch(update) for part in parts]
        assert len(even) == len(odd)
        ids = [id_ for pair in zip(even.ids, odd.ids, strict=True) for id_ in pair]
        assert ids[: len(one)] == one.ids
        assert set(ids[len(one) :]) <= {one.ids[-1]}
        for row in range(len(one)):
            part, place = (even, odd)[row % 2], row // 2
            frames = one.mel_lengths[row]
            assert torch.equal(part.mel[place, :, :frames], one.mel[row, :, :frames])
            size = one.reference_lengths[row]
            assert part.reference_lengths[place] == size
            assert torch.equal(part.reference[place, :, :size], one.reference[row, :, :size])


@pytest.mark.parametrize("workers", [0, 1])
def test_validation_draws_nothing_from_the_trainings_randomness(module_of, workers):
    loader = module_of(workers=workers).val_dataloader()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_crash_with_living_workers_ends_the_program(tmp_path):
    """Workers ignore SIGTERM, and Python waits at its end for those that it sent one."""
    script = tmp_path / "crash.py"
    script.write_text(
        "from torch.utils.data import DataLoader\n"
        "from data.workers import leave_signals_to_the_trainer as leave\n"
        "loader = DataLoader(range(99), num_workers=1, worker_init_fn=leave)\n"
        "batches = iter(loader)\n"
        "next(batches)\n"
        "raise ValueError('the crash')\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 1
    assert "the crash" in ended.stderr


def test_an_epoch_holds_every_training_item(module_of):
    module = module_of()
    batches = first(module, module._order.batches_per_epoch)
    ids = [id_ for batch in batches for id_ in batch.ids]
    assert sorted(ids) == [f"ann-{n}" for n in range(7)] + [f"bob-{n}" for n in range(4)]
    assert module.speakers == ["ann", "bob"]


def test_validation_is_the_same_in_every_run(module_of):
    module, other = module_of(seed=1), module_of(seed=2, workers=1)
    once, again = list(module.val_dataloader()), list(module.val_dataloader())
    elsewhere = list(other.val_dataloader())
    assert [id_ for batch in once for id_ in batch.ids] == ["ann-7", "bob-4"]
    for one, two, three in zip(once, again, elsewhere, strict=True):
        assert_equal(one, two)
        assert_equal(one, three)
    assert [b.ids for b in module_of(validation_items=1).val_dataloader()] == [["ann-7"]]


def test_replay_is_mixed_in(module_of, make_voice):
    old = make_voice("old", {"cat": 9, "bob": 4})
    module = module_of(replay=ReplayConfig(str(old), fraction=0.4), max_items=5, max_frames=2000)
    assert module.speakers == ["ann", "bob", "cat"]
    batches = first(module, 40)
    ids = [id_ for batch in batches for id_ in batch.ids]
    kept = {id_ for id_ in ids if id_.startswith("cat")}
    assert kept <= {f"cat-{n}" for n in range(8)}  # cat-8 is for validation
    assert len(kept) >= 5
    cat = module.speakers.index("cat")
    for batch in batches:
        assert (batch.speaker == cat).tolist() == [id_.startswith("cat") for id_ in batch.ids]
    names = {id_ for batch in module.val_dataloader() for id_ in batch.ids}
    assert names == {"ann-7", "bob-4"}


@pytest.mark.parametrize(
    ("seconds", "count"),
    [(0.1, 1), (0.6, 1), (1.75, 1), (1.76, 2), (2.67, 2), (2.68, 3), (100.0, 11), (0.0, 11)],
)
def test_training_can_be_limited_to_the_first_seconds(module_of, seconds, count):
    """Ann's clips come first and last 0.6, 1.16, 0.92 ... seconds."""
    module = module_of(train_seconds=seconds)
    ids = {id_ for batch in first(module, 2 * module.updates_per_epoch) for id_ in batch.ids}
    everything = [f"ann-{n}" for n in range(7)] + [f"bob-{n}" for n in range(4)]
    assert ids == set(everything[:count])


def test_recordings_beyond_the_limit_are_not_heard_either(module_of):
    """Neither as a reference nor in the voice's embedding, else 60 s would be more than 60 s."""
    plain = AugmentConfig(time_masks=0, frequency_masks=0)
    whole = [9.0, 9.0]
    module = module_of(train_seconds=1.76, reference_seconds=whole, augment=plain)
    assert module.own_speakers == ["ann"]
    assert not list(module.recordings_of("bob"))
    # As references they are nowhere below the floor, which half precision rounds.
    kept = [mel.clamp(min=math.log(CONFIG.floor)) for mel in module.recordings_of("ann")]
    assert len(kept) == 2
    batches = [*first(module, 9), *module.val_dataloader()]
    heard = 0
    for batch in batches:
        for row, id_ in enumerate(batch.ids):
            reference = batch.reference[row, :, : batch.reference_lengths[row]]
            reference = reference.clamp(min=math.log(CONFIG.floor))
            if id_.startswith("ann"):
                assert any(torch.equal(reference, mel) for mel in kept), id_
                heard += 1
    assert heard > 9


def test_replay_goes_on_beside_the_first_seconds(module_of, make_voice):
    old = make_voice("old", {"cat": 9})
    module = module_of(train_seconds=2.0, replay=ReplayConfig(str(old), fraction=0.5))
    ids = {id_ for batch in first(module, 20) for id_ in batch.ids}
    assert {id_ for id_ in ids if not id_.startswith("cat")} == {"ann-0", "ann-1"}
    assert ids > {"ann-0", "ann-1"}


def test_recordings_of_a_speaker(module_of):
    module = module_of()
    mels = list(module.recordings_of("bob", limit=3))
    assert len(mels) == 3
    batches = first(module, 8)
    trained = {
        id_: batch.mel[row, :, : batch.mel_lengths[row]]
        for batch in batches
        for row, id_ in enumerate(batch.ids)
    }
    for number, mel in enumerate(mels):
        assert torch.equal(mel, trained[f"bob-{number}"])


def test_tokens_come_with_the_batch(module_of):
    def tokenize(spoken):
        answers = []
        for mel, phonemes in spoken:
            durations = np.bincount(
                np.arange(-(-mel.shape[1] // 4)) % len(phonemes), minlength=len(phonemes)
            )
            answers.append((np.arange(durations.sum()), durations))
        return answers

    module = module_of(tokenizer={"tokenize": tokenize, "tokenizer_fingerprint": "t"})
    batch = first(module, 1)[0]
    assert torch.equal(batch.token_lengths, (batch.mel_lengths + 3) // 4)
    assert torch.equal(batch.durations.sum(1), batch.token_lengths)


class Recorder(lightning.LightningModule):
    """Notes which utterances it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trained: list[list[str]] = []
        self.validated: list[list[str]] = []

    def training_step(self, batch: Batch, _: int) -> None:
        self.trained.append(batch.ids)

    def validation_step(self, batch: Batch, _: int) -> None:
        self.validated.append(batch.ids)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning 2.6 with torch 2.14
def test_lightning_trains_and_validates_on_it(module_of, tmp_path):
    expected = [batch.ids for batch in first(module_of(), 6, 3)]
    module, recorder = module_of(), Recorder()
    module.update = 3
    trainer = lightning.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        max_epochs=1,
        limit_train_batches=6,
        val_check_interval=3,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(recorder, datamodule=module)
    assert recorder.trained == expected
    assert recorder.validated == [["ann-7", "bob-4"]] * 2


def test_users_mistakes_are_explained(module_of, make_voice):
    with pytest.raises(InputError, match=r"data\.language is 'cs'"):
        module_of(language="cs")
    assert module_of(language="en").speakers == ["ann", "bob"]
    lonely = make_voice("lonely", {"dan": 1})
    assert module_of(manifest=str(lonely)).val_dataloader() == []
    text = lonely.read_text().replace('"train"', '"validation"')
    lonely.write_text(text)
    with pytest.raises(InputError, match="split 'train'"):
        module_of(manifest=str(lonely))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_frames": 0},
        {"max_items": 0},
        {"train_seconds": -0.5},
        {"workers": -1},
        {"seed": -1},
        {"length_jitter": 2.0},
        {"reference_seconds": [4.0, 2.0]},
    ],
)
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(ValueError, match=r"data\." + next(iter(wrong))):
        DataConfig(manifest="m", **wrong)


def test_config_is_a_hydra_schema():
    schema = OmegaConf.structured(DataConfig(manifest="m"))
    merged = OmegaConf.merge(schema, {"max_items": 3, "reference_seconds": [1, 3]})
    config = OmegaConf.to_object(merged)
    assert config == DataConfig(manifest="m", max_items=3, reference_seconds=[1.0, 3.0])
    with pytest.raises(ConfigKeyError):
        OmegaConf.merge(schema, {"max_item": 3})
    with pytest.raises(ValueError, match=r"data\.replay\.fraction"):
        ReplayConfig(fraction=1.0)


def test_lexicon_is_the_voices_and_not_the_replays(module_of, make_voice, tmp_path):
    words = tmp_path / "words.tsv"
    words.write_text("sentence\tʒɔʒɔ\n", encoding="utf-8")
    replay = ReplayConfig(str(make_voice("old", {"cat": 4})), fraction=0.4)
    plain, taught = module_of(replay=replay), module_of(replay=replay, lexicon=str(words))
    is_equal = {"replay": [], "own": []}
    for before, after in zip(first(plain, 8), first(taught, 8), strict=True):
        for row, id_ in enumerate(before.ids):
            one, two = (b.phonemes[row, : b.phoneme_lengths[row]] for b in (before, after))
            is_equal["replay" if id_.startswith("cat") else "own"].append(torch.equal(one, two))
    assert is_equal["replay"]
    assert all(is_equal["replay"])
    assert not any(is_equal["own"])


def test_warped_mels_beside_audio_are_refused_before_any_work(voice, tmp_path):
    config = DataConfig(manifest=str(voice), augment=AugmentConfig(warp=0.1))
    with pytest.raises(InputError, match=r"data\.augment\.warp=0\.1.*vocoder"):
        VoiceDataModule(config, CONFIG, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    VoiceDataModule(replace(config, with_audio=False), CONFIG, tmp_path / "cache")
