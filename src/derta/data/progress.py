"""What a long build shows while it works: one bar a step, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int], None]


class Progress:
    """Steps that show nothing."""

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Advance]:
        """While the block runs, the step is under way; call what is given with the number of things done."""
        yield lambda count: None


SILENT = Progress()


class Bar(Progress):
    """Steps as bars that go when they are done. total None: the end isn't known, only the pace is shown."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Advance]:
        """One bar on the console."""
        from rich import progress as rich_progress
        from rich.markup import escape

        if not self.console.is_terminal:
            yield lambda count: None
            return
        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.fields[done]}"),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(),
        )
        with rich_progress.Progress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task(escape(what), total=total, done="")
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                of = "" if total is None else f" of {total:,}"
                bars.update(task, completed=done, done=f"{done:,}{of}")

            yield advance
