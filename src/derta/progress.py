"""What a long step shows while it works: a bar on a terminal, elsewhere (a log, a pipe) a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

EVERY = 30.0  # seconds between the lines that a log gets of one step
NARROW = 60  # columns of a terminal below which figures go before the bar
COUNT_WIDTH = 44  # columns of bar, count and times in a wider one


class Step:
    """A step under way. Call it with the number of things that are done (one by default).

    total None: the end isn't known, only the pace is shown. note: shown behind, e.g. the loss.
    """

    def __init__(
        self, what: str, total: int | None = None, show: Callable[[Step], None] | None = None
    ) -> None:
        self.what, self.total = what, total
        self.done = 0
        self.note = ""
        self._show = show

    def __call__(self, count: int = 1) -> None:
        """So many more are done."""
        self.set(done=self.done + count)

    def set(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        what: str | None = None,
        note: str | None = None,
    ) -> None:
        """Change what is given."""
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.what = self.what if what is None else what
        self.note = self.note if note is None else note
        if self._show is not None:
            self._show(self)

    @property
    def count(self) -> str:
        """E.g. `12 of 1,200`."""
        return f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"


class Progress:
    """Steps that show nothing."""

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Step]:
        """While the block runs, the step is under way."""
        yield Step(what, total)


SILENT = Progress()


class Bar(Progress):
    """Steps as bars that go when they are done; without a terminal a line at most every 30 seconds.

    clock: seconds, for tests.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self._bars: RichProgress | None = None  # one screen for all steps that are under way

    @contextmanager
    def step(self, what: str, total: int | None = None) -> Iterator[Step]:
        """One bar on the console."""
        if not self.console.is_terminal:
            yield Step(what, total, self._lines(self._clock()))
            return
        from rich.markup import escape

        with self._screen() as bars:
            task = bars.add_task(escape(what), total=total, done="", note="")

            def show(step: Step) -> None:
                bars.update(
                    task,
                    completed=step.done,
                    total=step.total,
                    description=escape(_short(step.what, self.console.width)),
                    done=step.count,
                    note=escape(step.note),
                )

            step = Step(what, total, show)
            step.set()
            try:
                yield step
            finally:
                if len(bars.tasks) > 1:  # the last one goes with the screen
                    bars.remove_task(task)

    @contextmanager
    def _screen(self) -> Iterator[RichProgress]:
        """The terminal's bars; it is left without them, its cursor shown, whatever ends the outermost step."""
        if self._bars is not None:
            yield self._bars
            return
        from rich.progress import Progress as RichProgress

        with RichProgress(*_columns(self.console.width), console=self.console, transient=True) as bars:
            self._bars = bars
            try:
                yield bars
            finally:
                self._bars = None

    def _lines(self, started: float) -> Callable[[Step], None]:
        """Says how far a step is, when the last line is old enough."""
        last = started
        first: tuple[float, int] | None = (
            None  # when and with how much done it began; a resume has some at once
        )

        def show(step: Step) -> None:
            nonlocal first, last
            now = self._clock()
            first = (now, step.done) if first is None or step.done < first[1] else first
            if now - last < EVERY:
                return
            last, done = now, step.done - first[1]
            left = (now - first[0]) * (step.total - step.done) / done if step.total and done else None
            parts = [f"{step.what}: {step.count}", f"{_clock_time(left)} left" if left else "", step.note]
            said = ", ".join(part for part in parts if part)
            self.console.print(said, markup=False, highlight=False, soft_wrap=True)

        return show


def _columns(width: int) -> list[Any]:
    """Figures stay whole in a narrow terminal: there the bar and the times go first."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    what, done, note = (
        TextColumn(f"{{task.{name}}}") for name in ("description", "fields[done]", "fields[note]")
    )
    if width < NARROW:
        return [what, done]
    return [what, BarColumn(20), done, TimeElapsedColumn(), TimeRemainingColumn(), note]


def _short(what: str, width: int) -> str:
    most = max(6, width - (20 if width < NARROW else COUNT_WIDTH))
    return what if len(what) <= most else f"{what[: most - 1]}…"


def _clock_time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
