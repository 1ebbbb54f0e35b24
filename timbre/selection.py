"""Some items of a batch, in any order and any number of times."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from jaxtyping import Int
from torch import Tensor

from data.batch import Batch


def rows_of(batch: Batch, rows: Int[Tensor, " rows"]) -> Batch:
    """The batch of these items, padded as the whole batch is.

    Args:
        batch: Taken from.
        rows: Positions in it, on its device.
    """
    chosen: dict[str, Any] = {"ids": [batch.ids[row] for row in rows.tolist()]}
    for field in fields(batch):
        if isinstance(value := getattr(batch, field.name), Tensor):
            chosen[field.name] = value[rows]
    return replace(batch, **chosen)
