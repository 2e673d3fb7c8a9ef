"""A table of results that is kept in a file after every cell, so that long measurements can be stopped and go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


class Cells:
    """Cells by their key; what the file has already is not measured again.

    Args:
        path: of a JSON file, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cells: dict[str, Cell] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: str, measure: Callable[[], Cell]) -> Cell:
        """Give a cell, measured and kept now if it is not there."""
        if key not in self._cells:
            self._cells[key] = measure()
            whole = self._path.with_suffix(self._path.suffix + ".new")
            whole.write_text(json.dumps(self._cells, indent=1, sort_keys=True) + "\n")
            os.replace(whole, self._path)
        return self._cells[key]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Give a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
