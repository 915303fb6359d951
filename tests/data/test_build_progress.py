"""What a build shows while it works: bars on a terminal, and the same files either way."""

import io
from contextlib import contextmanager

import pytest
from rich.console import Console

from derta.data.build import build
from derta.data.recipe import DataRecipe
from derta.progress import Bar, Progress

from .guild_rows import pairs, triples, write


class Listener(Progress):
    """Notes every step, and what was done in it."""

    def __init__(self):
        self.steps = {}

    @contextmanager
    def step(self, what, total=None):
        done = []
        yield done.append
        self.steps[what] = (sum(done), total)


@pytest.fixture
def recipe(tmp_path):
    files = {"t": triples(30), "b": pairs(1200)}
    sources = [
        {"name": name, "format": "records", "path": str(write(tmp_path / f"{name}.jsonl", rows))}
        for name, rows in files.items()
    ]
    sources[0]["limit"] = 25
    return DataRecipe.model_validate({"out": str(tmp_path / "out"), "num_processes": 1, "sources": sources})


def test_every_step_is_told_with_the_rows_it_read(recipe):
    seen = Listener()
    build(recipe, progress=seen)
    assert seen.steps == {
        "read t": (25, 25),
        "read b": (1200, None),
        "compare": (0, None),
        "write": (0, None),
    }


def test_on_a_terminal_the_step_is_shown_and_goes(recipe):
    screen = io.StringIO()
    build(recipe, progress=Bar(Console(file=screen, force_terminal=True, width=100)))
    assert "read b" in screen.getvalue()
    assert "25 of 25" in screen.getvalue()
    assert "1,200" in screen.getvalue()


def test_elsewhere_nothing_is_shown(recipe):
    screen = io.StringIO()
    build(recipe, progress=Bar(Console(file=screen), clock=lambda: 0.0))
    assert screen.getvalue() == ""
    assert (recipe.out / "manifest.json").exists()


def test_a_step_that_fails_leaves_the_terminal_as_it_was():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True)
    with pytest.raises(KeyError), Bar(console).step("[bold]read[/]", 3):
        raise KeyError
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is shown again
    assert "[bold]read[/]" in screen.getvalue()
