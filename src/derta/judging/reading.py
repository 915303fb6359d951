"""Result files read for judging, and what of them is judged: said for every file, whatever comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from derta.results.questions import read_questions
from derta.results.rows import ResultFile, ResultRow, read_results
from derta.visible import visible

SHOWN = 5  # reasons of rejection that are named


@dataclass(frozen=True)
class FilesRead:
    """The files of one command, in order."""

    files: list[ResultFile]

    @property
    def rows(self) -> list[ResultRow]:
        """All rows of all files."""
        return [row for file in self.files for row in file.rows]

    def say_short(self, console: Console) -> bool:
        """Print which files give less than they hold, or nothing to judge; whether there are any."""
        short = False
        for file in self.files:
            judged = sum(row.response is not None for row in file.rows)
            if not judged:
                _say(console, f"error: {file.path}: nothing to judge in {len(file.rows)} rows")
            elif file.lost:
                missing = f", {file.missing} of them that the file counts itself" if file.missing else ""
                _say(console, f"error: {file.path}: holds {file.lost} rows that can't be read{missing}")
            short |= not judged or file.lost > 0
        return short


def read_files(
    paths: Sequence[Path],
    console: Console,
    *,
    questions: Path | None = None,
    field: str | None = None,
    question_field: str | None = None,
) -> FilesRead:
    """Read result files and print of each what it was read as, and rows = judged + rejected.

    Raises:
        DataError: a file can't be read, or leaves a choice that the fields have to make.
    """
    asked = read_questions(questions) if questions else None
    files = []
    for path in paths:
        read = read_results(path, questions=asked, field=field, question_field=question_field)
        _say(console, f"{path.name}: read as: {read.read_as}")
        _say(console, f"{path.name}: {counted(read)}")
        files.append(read)
    return FilesRead(files)


def counted(read: ResultFile) -> str:
    """`300 rows = 298 judged + 2 rejected (2 x no response (null))`."""
    rejected = read.rejected
    number = sum(rejected.values())
    reasons = "; ".join(f"{count} x {reason}" for reason, count in rejected.most_common(SHOWN))
    more = "; ..." if len(rejected) > SHOWN else ""
    ground = f" ({reasons}{more})" if reasons else ""
    return f"{len(read.rows)} rows = {len(read.rows) - number} judged + {number} rejected{ground}"


def _say(console: Console, text: str) -> None:
    console.print(Text(visible(text)), soft_wrap=True)
