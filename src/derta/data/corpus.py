"""All scanned items together: one index over all sources, their query tokens, and their lines on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from derta.data.clean.duplicates import Rows
from derta.data.clean.text import Hashes
from derta.data.formats.items import ROLES, Role
from derta.data.scan import INDEX, KINDS
from derta.records import QueryKind


@dataclass(frozen=True)
class Corpus:
    """Rows are numbered over all sources, in the recipe's order.

    index: one INDEX record a row; source: number of the row's source; tokens, starts: as in duplicates.py.
    """

    folders: list[Path]
    index: npt.NDArray[Any]
    source: npt.NDArray[np.uint16]
    tokens: Hashes
    starts: Rows
    names: dict[int, str]

    @classmethod
    def load(cls, folders: list[Path], work: Path) -> Corpus:
        """Join finished scans; the tokens stay on disk (work/tokens.bin)."""
        parts = [np.fromfile(folder / "index.bin", dtype=INDEX) for folder in folders]
        index = np.concatenate(parts)
        path = work / "tokens.bin"
        with path.open("wb") as joined:
            for folder in folders:
                with (folder / "tokens.bin").open("rb") as handle:
                    shutil.copyfileobj(handle, joined, 1 << 20)
        names: dict[int, str] = {}
        for folder in folders:
            found = json.loads((folder / "scan.json").read_text(encoding="utf-8"))["names"]
            names.update({int(key): name for key, name in found.items()})
        return cls(
            folders=folders,
            index=index,
            source=np.repeat(np.arange(len(parts), dtype=np.uint16), [len(part) for part in parts]),
            tokens=np.memmap(path, dtype=np.uint64, mode="r") if len(index) else np.empty(0, np.uint64),
            starts=np.concatenate([[0], np.cumsum(index["num_tokens"], dtype=np.int64)]),
            names=names,
        )

    def rows_of(self, role: Role, kind: QueryKind | None = None) -> Rows:
        """Rows of one role (and kind), in order."""
        chosen = self.index["role"] == ROLES.index(role)
        if kind is not None:
            chosen &= self.index["kind"] == KINDS.index(kind)
        return np.flatnonzero(chosen)

    def items(self, rows: Rows) -> Iterator[dict[str, Any]]:
        """The items of some rows, in the order given."""
        handles = [(folder / "items.jsonl").open("rb") for folder in self.folders]
        try:
            for row in rows.tolist():
                handle = handles[self.source[row]]
                handle.seek(int(self.index["offset"][row]))
                yield json.loads(handle.read(int(self.index["length"][row])))
        finally:
            for handle in handles:
                handle.close()

    def place(self, row: int) -> str:
        """`file:line` of a row."""
        return f"{self.names[int(self.index['file'][row])]}:{self.index['line'][row]}"
