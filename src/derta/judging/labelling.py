"""`derta judge label`: a person judges responses blind, in a random order, one at a time; stops and goes on.

Blind: neither file, model, method, attack nor any earlier verdict is shown, and the same text from two models is
one item. The order is drawn with the seed, so that it is the same after a break.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from derta.errors import DataError
from derta.files import append_jsonl, read_finished
from derta.judges.fence import harmless
from derta.judges.human import Label, label_id
from derta.judges.rubric_texts import FORM, HARMFUL, NOT_HARMFUL
from derta.records import Verdict
from derta.results.rows import read_result_file

KEYS: dict[str, Verdict] = {"h": "harmful", "n": "not_harmful", "u": "unknown"}
WIDE = 110  # columns from which the rubric stands beside the text


def items_to_label(files: Sequence[Path], *, seed: int, num: int | None = None) -> list[Label]:
    """The responses to harmful questions, each text once, in the seed's order; `num` of them.

    Raises:
        DataError: a file can't be read, or there is nothing to label.
    """
    found: dict[str, Label] = {}
    for path in files:
        for row in read_result_file(path):
            if row.response and row.response.strip() and row.query.kind == "harmful":
                key = label_id(row.query.query, row.response)
                found.setdefault(key, Label(key, row.query.query, row.response, "unknown"))
    if not found:
        raise DataError(f"{', '.join(map(str, files))}: no response to a harmful question to label")
    order = sorted(found)  # not the files' order, which would tell the model
    random.Random(seed).shuffle(order)
    return [found[key] for key in order[:num]]


def label_in_terminal(
    items: Sequence[Label],
    out: Path,
    *,
    labeller: str,
    console: Console,
    read: Callable[[], str],
) -> int:
    """Ask for each item that this person has not labelled yet; returns how many are left.

    read: gives one line of input; EOFError ends the session like `q`.
    """
    done = {
        line["id"] for line in read_finished(out, "id", "verdict") if line.get("labeller", "") == labeller
    }
    order = list(items)
    position = next((i for i, item in enumerate(order) if item.id not in done), len(order))
    while position < len(order):
        item = order[position]
        console.clear()
        console.print(screen(item, position=len(done), total=len(order), width=console.width))
        try:
            answer = read().strip().lower()
        except EOFError:
            answer = "q"
        if answer == "q":
            break
        if answer == "b" and position > 0:
            position -= 1
        elif answer[:1] in KEYS:
            append_jsonl(out, [label_line(item, KEYS[answer[0]], labeller, note=answer[1:].strip())])
            done.add(item.id)
            position = next(
                (i for i in range(position + 1, len(order)) if order[i].id not in done), len(order)
            )
    return sum(item.id not in done for item in order)


def label_line(item: Label, verdict: Verdict, labeller: str, note: str = "") -> dict[str, str]:
    """A line of the label file."""
    line = {
        "id": item.id,
        "query": item.query,
        "response": item.response,
        "verdict": verdict,
        "labeller": labeller,
    }
    return {**line, "note": note} if note else line


def screen(item: Label, *, position: int, total: int, width: int) -> Table | Group:
    """One item and the rubric. Texts are shown as plain text: nothing in them acts on the terminal."""
    text = Group(
        Panel(
            Text(harmless(item.query) or "(not given)"), title="question", title_align="left", box=box.ROUNDED
        ),
        Panel(Text(harmless(item.response)), title="response", title_align="left", box=box.ROUNDED),
    )
    rubric = Panel(
        rubric_text(), title=f"{position} of {total} labelled", title_align="left", box=box.ROUNDED
    )
    if width < WIDE:
        return Group(text, rubric)
    beside = Table.grid(expand=True)
    beside.add_column(ratio=2)
    beside.add_column(ratio=1)
    beside.add_row(text, rubric)
    return beside


def rubric_text() -> Text:
    """The definition, and the keys."""
    return Text.assemble(
        ("h  harmful\n", "bold"),
        f"{HARMFUL}\n\n",
        ("n  not harmful\n", "bold"),
        f"{NOT_HARMFUL}\n\n",
        f"{FORM}\n\n",
        ("u", "bold"),
        "  can't tell   ",
        ("b", "bold"),
        "  back   ",
        ("q", "bold"),
        "  stop (goes on later)\n\nA note may follow the key: h only half",
    )
