"""The token store: the semantic tokens of a feature store and how long each phoneme lasts.

The tokenizer lives above this package and is handed in as a callable.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt16
from numpy import ndarray

from data.features import FeatureStore
from data.mel import FRAMES_PER_TOKEN
from data.packed import PackedArrays, PackedField, Row, open_or_build_packed

_LOG = logging.getLogger(__name__)
_FORMAT = 1  # raise it when the layout of the store changes
_LISTED = 20  # ids named in a warning
_FIELDS = (
    PackedField("tokens", "uint16"),
    PackedField("durations", "uint16"),
    PackedField("row", "int64"),
)

Spoken = tuple[Float32[ndarray, "mels _frames"], Int64[ndarray, " _phonemes"]]
"""What is tokenized: natural-log mel and symbol ids of one utterance."""

Tokenized = tuple[Int64[ndarray, " _tokens"], Int64[ndarray, " _phonemes"]]
"""Tokens, and the number of tokens of each phoneme."""

Tokenize = Callable[[list[Spoken]], list[Tokenized | None]]
"""Tokenizes some utterances; None stands for one whose phonemes fit its sound nowhere."""


class TokenStore:
    """Tokens and durations of the rows of a feature store, memory-mapped.

    Rows that could not be aligned are not in it: `rows` says which are.
    """

    def __init__(self, folder: Path) -> None:
        self.packed = PackedArrays(folder)
        rows = self.packed.column("row")
        aligned = np.flatnonzero(self.packed.lengths("tokens"))
        self._entries = aligned[np.argsort(rows[aligned])]
        self._rows = np.array(rows[self._entries], dtype=np.int64)

    @classmethod
    def open_or_build(
        cls,
        features: FeatureStore,
        tokenize: Tokenize,
        tokenizer_fingerprint: str,
        cache_folder: Path,
        items_per_call: int = 16,
    ) -> "TokenStore":
        """Open the token store of a feature store, building it first if it is not there.

        Args:
            features: the utterances.
            tokenize: called with `items_per_call` utterances of similar length at a time; tokens
                and durations may be of any integer type.
            tokenizer_fingerprint: changes whenever `tokenize` may answer differently.
            cache_folder: where stores are kept.
            items_per_call: utterances in one call of `tokenize`.

        Raises:
            InputError: the cache cannot be written.
            ValueError: an answer does not fit its utterance.
        """
        key = f"{_FORMAT}\n{features.fingerprint}\n{tokenizer_fingerprint}"
        fingerprint = hashlib.sha256(key.encode()).hexdigest()
        # Similar lengths together: the tokenizer pads a call to its longest utterance.
        order = np.argsort(features.frames, kind="stable")

        def make_rows(done: int) -> Iterator[Row]:
            return _tokenized_rows(features, order, tokenize, done, items_per_call)

        folder = Path(cache_folder) / f"tokens-{fingerprint[:20]}"
        open_or_build_packed(folder, fingerprint, _FIELDS, len(features), make_rows, dict)
        store = cls(folder)
        _warn_of_missing(features, store)
        return store

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Int64[ndarray, " aligned"]:
        """Rows of the feature store that have tokens, ascending."""
        return self._rows

    def of_row(self, row: int) -> tuple[UInt16[ndarray, " tokens"], UInt16[ndarray, " phonemes"]]:
        """Return tokens and durations of a row of the feature store.

        Raises:
            KeyError: the row has no tokens.
        """
        place = int(np.searchsorted(self._rows, row))
        if place == len(self._rows) or self._rows[place] != row:
            raise KeyError(f"row {row} of the feature store has no tokens")
        entry = int(self._entries[place])
        return self.packed.row(entry, "tokens"), self.packed.row(entry, "durations")


def _tokenized_rows(
    features: FeatureStore, order: ndarray, tokenize: Tokenize, done: int, items_per_call: int
) -> Iterator[Row]:
    """Yield an entry for each row from `order[done]` on; one without tokens has no alignment."""
    for start in range(done, len(order), items_per_call):
        rows = order[start : start + items_per_call].tolist()
        stored = [features[row] for row in rows]
        spoken = [(f.mel.T.astype(np.float32), f.phonemes.astype(np.int64)) for f in stored]
        answers = tokenize(spoken)
        if len(answers) != len(rows):
            raise ValueError(f"tokenize answered {len(answers)} of {len(rows)} utterances")
        for row, (mel, phonemes), answer in zip(rows, spoken, answers, strict=True):
            tokens, durations = answer if answer is not None else (np.zeros(0), np.zeros(0))
            if answer is not None:
                _check(tokens, durations, mel.shape[1], len(phonemes), features[row].id)
            yield {
                "tokens": np.asarray(tokens).astype(np.uint16),
                "durations": np.asarray(durations).astype(np.uint16),
                "row": np.array([row], dtype=np.int64),
            }


def _check(tokens: ndarray, durations: ndarray, frames: int, phonemes: int, id_: str) -> None:
    expected = -(-frames // FRAMES_PER_TOKEN)
    if len(tokens) != expected or len(durations) != phonemes or durations.sum() != expected:
        raise ValueError(
            f"utterance {id_} has {frames} frames and {phonemes} phonemes: expected {expected} "
            f"tokens in {phonemes} durations, got {len(tokens)} tokens and {len(durations)} "
            f"durations that sum to {durations.sum()}"
        )
    if min(tokens.min(), durations.min()) < 0 or max(tokens.max(), durations.max()) > 65535:
        raise ValueError(f"utterance {id_}: tokens and durations must be from 0 to 65535")


def _warn_of_missing(features: FeatureStore, store: TokenStore) -> None:
    missing = np.setdiff1d(np.arange(len(features)), store.rows)
    if len(missing):
        ids = ", ".join(features[row].id for row in missing[:_LISTED].tolist())
        _LOG.warning(
            "%d of %d utterances are left out, their text does not fit their sound: %s%s",
            len(missing),
            len(features),
            ids,
            " ..." if len(missing) > _LISTED else "",
        )
