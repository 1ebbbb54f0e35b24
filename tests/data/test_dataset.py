"""Examples: what they hold, where references come from, what augmentation may change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.augment import AugmentConfig, Augmenter, at_speed
from data.dataset import ExampleConfig, Source, VoiceDataset
from data.features import FeatureStore
from data.manifest import read_manifest
from data.mel import AudioConfig
from data.token_store import TokenStore

CONFIG = AudioConfig()
EXAMPLES = ExampleConfig(reference_seconds=(0.2, 0.4), with_audio=True, augment=None, seed=1)
ALL_OFF = AugmentConfig(time_masks=0, frequency_masks=0)


@pytest.fixture
def store(make_voice, tmp_path):
    utterances = read_manifest(make_voice("voice", {"ann": 4, "bob": 1, "cat": 3}))
    return FeatureStore.open_or_build(utterances, CONFIG, tmp_path / "cache", workers=0)


def dataset_of(store, split="train", tokens=None, **changes) -> VoiceDataset:
    config = replace(EXAMPLES, **changes)
    return VoiceDataset([Source(store, tokens)], split, store.speakers, config, CONFIG)


def stands_in(mel: np.ndarray, reference: np.ndarray) -> bool:
    """Whether a reference was cut out of a recording."""
    size = reference.shape[1]
    starts = np.flatnonzero((mel == reference[:, :1]).all(axis=0))
    return any(np.array_equal(mel[:, start : start + size], reference) for start in starts)


def test_example_holds_the_stored_utterance(store):
    dataset = dataset_of(store)
    assert len(dataset) == 3 + 1 + 2
    for item, row in enumerate(store.rows_of("train").tolist()):
        example, stored = dataset[0, 0, item], store[row]
        assert example.id == stored.id
        assert store.speakers[example.speaker] == stored.speaker
        assert np.array_equal(example.mel, stored.mel.T.astype(np.float32))
        assert np.array_equal(example.f0, stored.f0)
        assert np.array_equal(example.audio, stored.audio.astype(np.float32) / 32768)
        assert np.array_equal(example.phonemes, stored.phonemes)
        assert np.array_equal(example.marks, stored.marks)
        assert (example.tokens, example.durations) == (None, None)
        assert dataset.lengths[item] == example.mel.shape[1]
    assert dataset_of(store, with_audio=False)[0, 0, 0].audio is None


def test_reference_is_another_training_clip_of_the_speaker(store):
    for split in ("train", "validation"):
        dataset = dataset_of(store, split)
        for item in range(len(dataset)):
            found = set()
            for update in range(20):
                example = dataset[update, 0, item]
                reference = example.reference.numpy()
                assert 19 <= reference.shape[1] <= 38
                name = store.speakers[example.speaker]
                found |= {
                    stored.id
                    for stored in store
                    if stands_in(stored.mel.T.astype(np.float32), reference)
                    and stored.speaker == name
                }
            training = {store[row].id for row in store.rows_of("train").tolist()}
            of_speaker = {id_ for id_ in training if id_.startswith(name)}
            assert found == (of_speaker - {example.id} or {example.id})


def test_example_is_a_function_of_its_key(store):
    config = AugmentConfig(noise_probability=1.0, tilt_db=6.0)
    one, two = dataset_of(store, augment=config), dataset_of(store, augment=config)
    two[3, 1, 2]  # what was asked before must not matter
    first, again, other_slot = one[5, 2, 1], two[5, 2, 1], two[5, 3, 1]
    assert torch.equal(first.reference, again.reference)
    assert not torch.equal(
        first.reference[:, :19],
        dataset_of(store, augment=config, seed=2)[5, 2, 1].reference[:, :19],
    )
    assert not torch.equal(first.reference[:, :19], other_slot.reference[:, :19])
    assert torch.equal(first.mel, other_slot.mel)


def test_augmentation_leaves_the_target_alone(store):
    config = AugmentConfig(noise_probability=1.0, tilt_db=6.0)
    plain, changed = dataset_of(store), dataset_of(store, augment=config)
    for item in range(len(plain)):
        before, after = plain[0, 0, item], changed[0, 0, item]
        assert torch.equal(before.mel, after.mel)
        assert torch.equal(before.f0, after.f0)


def test_rows_without_tokens_are_left_out(store, tmp_path):
    def tokenize(spoken):
        answers = []
        for mel, phonemes in spoken:
            durations = np.zeros(len(phonemes), dtype=np.int64)
            durations[1] = -(-mel.shape[1] // 4)
            answers.append((np.full(durations[1], 7), durations))
        return [
            None if mel.shape[1] == len(store[1].mel) else a
            for (mel, _), a in zip(spoken, answers, strict=True)
        ]

    tokens = TokenStore.open_or_build(store, tokenize, "t", tmp_path / "cache")
    dataset = dataset_of(store, tokens=tokens)
    assert "ann-1" not in [dataset[0, 0, item].id for item in range(len(dataset))]
    example = dataset[0, 0, 0]
    assert (example.tokens == 7).all()
    assert example.durations.sum() == len(example.tokens) == -(-example.mel.shape[1] // 4)


def test_warp_moves_target_pitch_and_reference_together(store):
    dataset = dataset_of(store, augment=replace(ALL_OFF, warp=0.2), with_audio=False)
    plain = dataset_of(store, with_audio=False)
    factors = []
    for update in range(20):
        before, after = plain[update, 0, 0], dataset[update, 0, 0]
        voiced = before.f0 > 0
        ratio = after.f0[voiced] / before.f0[voiced]
        assert ratio.std() < 1e-5
        factors.append(ratio.mean().item())
        assert not torch.equal(before.mel, after.mel)
        assert torch.equal(before.f0 > 0, after.f0 > 0)
    assert 1 / 1.2 - 1e-6 < min(factors) < 0.95
    assert 1.05 < max(factors) < 1.2 + 1e-6
    with pytest.raises(ValueError, match="train without audio"):
        dataset_of(store, augment=AugmentConfig(warp=0.1))


def test_warp_moves_a_band_to_its_new_frequency():
    augmenter = Augmenter(AugmentConfig(warp=0.2), CONFIG)
    centres = augmenter._centres_hz
    for factor in (0.85, 1.0, 1.15):
        mel = np.full((100, 2), -10.0, dtype=np.float32)
        mel[60] = 0.0
        warped = augmenter.warp(mel, factor)
        peak = centres[int(warped[:, 0].argmax())]
        assert peak == pytest.approx(centres[60] * factor, rel=0.03)
        assert warped.dtype == np.float32


def test_masks_hide_parts_behind_the_mean():
    augmenter = Augmenter(AugmentConfig(time_masks=2, frequency_masks=2), CONFIG)
    mel = np.random.default_rng(0).normal(size=(100, 300)).astype(np.float32)
    original, hidden = mel.copy(), []
    for seed in range(30):
        masked = augmenter.reference(mel, np.random.default_rng(seed))
        changed = masked != mel
        assert (masked[changed] == mel.mean()).all()
        hidden.append(changed.mean())
        columns, rows = changed.all(axis=0), changed.all(axis=1)
        assert (changed == (columns[None] | rows[:, None])).all()
        assert columns.sum() <= 2 * 24
        assert rows.sum() <= 2 * 10
    assert 0.05 < np.mean(hidden) < 0.35
    assert np.array_equal(mel, original)


def test_noise_has_the_wanted_level():
    config = replace(ALL_OFF, noise_probability=1.0, noise_min_snr_db=20.0, noise_max_snr_db=20.0)
    mel = np.zeros((100, 400), dtype=np.float32)
    silence = np.full((100, 400), -11.0, dtype=np.float32)
    both = np.concatenate([mel, silence], axis=1)
    noisy = Augmenter(config, CONFIG).reference(both, np.random.default_rng(1))
    # 20 dB under a level that half the frames have; the slope takes up to 26 dB off the top.
    lowest_band = np.sqrt((np.exp(2 * noisy[0, 400:])).mean())
    assert lowest_band == pytest.approx(0.1 * np.sqrt(0.5), rel=0.15)
    assert np.abs(noisy[:, :400]).max() < 0.1


def test_tilt_is_a_straight_line():
    augmenter = Augmenter(replace(ALL_OFF, tilt_db=6.0), CONFIG)
    mel = np.zeros((100, 5), dtype=np.float32)
    ranges = []
    for seed in range(50):
        tilted = augmenter.reference(mel, np.random.default_rng(seed))
        assert np.allclose(np.diff(tilted[:, 0], 2), 0, atol=1e-6)
        ranges.append((tilted[-1, 0] - tilted[0, 0]) * 20 / np.log(10))
    assert -6 <= min(ranges) < -4
    assert 4 < max(ranges) <= 6


def test_speed_changes_the_length_and_nothing_else():
    time = np.linspace(0, 6, 201)
    mel = np.stack([np.sin(time + phase) for phase in range(5)]).astype(np.float32)
    for factor in (0.8, 1.0, 1.25):
        changed = at_speed(mel, factor)
        assert changed.shape == (5, round(201 / factor))
        assert np.array_equal(changed[:, [0, -1]], mel[:, [0, -1]])
        there = np.linspace(0, 6, changed.shape[1])
        assert np.allclose(changed[2], np.sin(there + 2), atol=1e-3)
    assert np.array_equal(at_speed(mel, 1.0), mel)
    assert at_speed(mel[:, :1], 1.3).shape == (5, 1)


def test_references_come_faster_and_slower_but_targets_do_not(store):
    plain = dataset_of(store, reference_seconds=(0.4, 0.4))
    dataset = dataset_of(store, reference_seconds=(0.4, 0.4), augment=replace(ALL_OFF, speed=0.25))
    lengths = []
    for update in range(30):
        before, after = plain[update, 0, 0], dataset[update, 0, 0]
        assert torch.equal(before.mel, after.mel)
        lengths.append(after.reference.shape[1] / before.reference.shape[1])
    assert 1 / 1.25 - 0.02 < min(lengths) < 0.9
    assert 1.1 < max(lengths) < 1.25 + 0.02


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_masks": -1},
        {"frequency_mask_channels": -1},
        {"noise_probability": 1.5},
        {"noise_min_snr_db": 40.0},
        {"warp": 0.5},
        {"speed": 0.6},
    ],
)
def test_impossible_augmentation_is_refused(wrong):
    with pytest.raises(ValueError, match=r"augment\." + next(iter(wrong))):
        AugmentConfig(**wrong)
