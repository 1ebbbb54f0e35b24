"""`metrics.csv`: a column `update` and one per logged value, readable at any time."""

from __future__ import annotations

import csv
import os
from pathlib import Path

Row = dict[str, float]
"""The values of one update, by column; `update` is one of them."""


class MetricsFile:
    """Appends rows to a CSV file whose columns may grow.

    A new column rewrites the file (atomically), as does the first row; otherwise a row is appended
    and flushed, so that a killed run keeps all it logged.

    Args:
        path: The file; an existing one is continued.
        update: Rows after this update are dropped: a resumed run writes them again.
    """

    def __init__(self, path: Path, update: int = 0) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if row["update"] <= update]
        self.columns = ["update"]
        self._grow(self.rows)
        self._is_current = False

    def write(self, update: int, values: dict[str, float]) -> None:
        """Adds values to the row of `update`, which is the last row or a new one."""
        is_new = not self.rows or self.rows[-1]["update"] != update
        if is_new:
            self.rows.append({"update": float(update)})
        row = self.rows[-1]
        row |= values
        grown = self._grow([row])
        if grown or not is_new or not self._is_current:
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(self._cells(row))

    def _grow(self, rows: list[Row]) -> bool:
        new = [name for row in rows for name in row if name not in self.columns]
        self.columns += list(dict.fromkeys(new))
        return bool(new)

    def _cells(self, row: dict[str, float]) -> list[str]:
        cells = [f"{row[name]:.6g}" if name in row else "" for name in self.columns]
        return [str(int(row["update"])), *cells[1:]]

    def _rewrite(self) -> None:
        unfinished = self.path.with_suffix(".csv.tmp")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(self._cells(row) for row in self.rows)
        os.replace(unfinished, self.path)
        self._is_current = True


def read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics file, absent cells left out; a file that is not there has none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(cell) for name, cell in row.items() if cell}
            for row in csv.DictReader(file)
        ]


def curve(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
    """Updates and values of one column, where it has values."""
    points = [(int(row["update"]), row[name]) for row in rows if name in row]
    return [update for update, _ in points], [value for _, value in points]
