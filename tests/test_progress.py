"""One bar for every verb: whole figures on any terminal, a line now and then in a log."""

import io
import re

import pytest
from rich.console import Console

from derta.progress import EVERY, Bar


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def log(clock):
    return Bar(Console(file=io.StringIO(), width=40), clock)


def test_a_log_gets_a_line_of_each_step_at_most_every_thirty_seconds():
    clock = Clock()
    bar = log(clock)
    with bar.step("evaluate [bold]mine[/]", 1200) as step:
        for second in range(0, 90, 3):
            clock.now = float(second)
            step(10)
        step.set(note="loss 0.5")
    assert bar.console.file.getvalue().splitlines() == [
        "evaluate [bold]mine[/]: 110 of 1,200, 5 min left",
        "evaluate [bold]mine[/]: 210 of 1,200, 5 min left",
    ]


def test_a_step_that_is_soon_done_writes_nothing_to_a_log():
    clock = Clock()
    bar = log(clock)
    with bar.step("read") as step:
        clock.now = EVERY - 1
        step(1)
    assert bar.console.file.getvalue() == ""


def test_the_time_left_follows_from_what_this_run_did():
    """A resume begins with steps that took no time."""
    clock = Clock()
    bar = log(clock)
    with bar.step("train derta", 1000) as step:
        step.set(done=900)
        clock.now = 600.0
        step.set(done=950, note="rto 0.120")
    assert bar.console.file.getvalue() == "train derta: 950 of 1,000, 10 min left, rto 0.120\n"


@pytest.mark.parametrize("width", [24, 40, 60, 80, 200])
def test_figures_stay_whole_at_every_width(width):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width)
    with Bar(console).step("a very long name of a model that nobody can shorten by hand", 12_345) as step:
        step.set(done=12_344)
    assert any("12,344 of 12,345" in line for line in _lines(screen))
    assert all(len(line) <= width for line in _lines(screen))


def test_several_steps_share_the_screen_and_leave_it_clean():
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=100))
    with bar.step("vanilla", 3) as outer, bar.step("AutoDAN steps", 100) as inner:
        inner.set(done=50)
        outer()
    assert "AutoDAN steps" in screen.getvalue()
    with bar.step("derta", 3):
        pass
    assert screen.getvalue().count("\x1b[?25h") == 2, "the cursor is shown again, once a screen"


@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyError])
def test_what_ends_a_step_leaves_the_terminal_as_it_was(error):
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True))
    with pytest.raises(error), bar.step("read", 3):
        raise error
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


def _lines(screen):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n").split("\n")
