"""`derta show-labels`: each token of a row, its id, its label, and the rule that gave it.

The first thing to look at in a new set-up, and the first thing to attach to a bug report. The text is the user's
own and is shown as it is, but every character that a terminal would obey is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.text import Text

from derta.encode.chat import ChatRenderer
from derta.encode.prompt_report import prompt_report
from derta.encode.refusal_token import describe
from derta.encode.row import NO_TOKEN, Objective, Row
from derta.encode.row_set import Encoded, RowSet
from derta.errors import DataError
from derta.records import BenignPair, Triple

STYLES = {"prompt": "dim", "harmful": "red", "learned": "green", "refusal": "bold yellow"}


@dataclass(frozen=True)
class ShownToken:
    """One token as it is shown. label: the id it is trained to be, or None. depth: 1 inside a branch."""

    index: int | None
    token_id: int | None
    label: int | None
    rule: str
    style: str
    depth: int


def show_rows(
    encoded: Encoded, console: Console, *, num: int = 1, row_id: str | None = None, epoch: int = 0
) -> None:
    """Print `num` rows of each kind, or the one row (or all rows of the one record) called `row_id`.

    Raises:
        DataError: there is no such row.
    """
    rows = list(_select(encoded.rows, num=num, row_id=row_id, epoch=epoch))
    if not rows:
        raise DataError(
            f"--row {visible(row_id or '')}: no such row in this recipe's data; ids look like benign:ID, safe:ID, "
            "prefix:ID, rto:ID, derta:ID or a record's own ID"
        )
    _print_head(encoded, console)
    for row in rows:
        _print_row(row, encoded, console)


def lines(row: Row, end_id: int) -> list[ShownToken]:
    """What is shown of a row, in the row's order."""
    label_at = {
        int(index): (int(target), Objective(int(objective)))
        for index, target, objective in zip(row.target_index, row.target_ids, row.objective, strict=True)
        if index != NO_TOKEN
    }
    after_last = []
    for at, target, index in zip(row.predict_at, row.target_ids, row.target_index, strict=True):
        if index == NO_TOKEN:
            follows = _next_harmful(row, int(at))
            if follows is None:
                after_last.append(int(target))
            else:
                label_at[follows] = (int(target), Objective.RTO)
    shown = [_line(row, index, label_at.get(index), end_id) for index in range(len(row))]
    return shown + [
        ShownToken(None, None, target, "rto: refusal token at the end of text", "refusal", 0)
        for target in after_last
    ]


def visible(text: str) -> str:
    """The text with every character escaped that is not printable (controls, bidirectional marks, line breaks)."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _line(row: Row, index: int, label: tuple[int, Objective] | None, end_id: int) -> ShownToken:
    harmful = bool(row.is_harmful[index])
    has_rto = bool((row.objective == Objective.RTO).any())
    token = int(row.input_ids[index])
    if label is not None:
        target, objective = label
        if objective == Objective.RTO:
            return ShownToken(index, token, target, "rto: refusal token", "refusal", 0)
        name = objective.name.lower()
        what = "end" if token == end_id and index + 1 == int(row.subtree_end[index]) else "response"
        rule = f"{name}: safe {what}" if name == "prefix" and what == "response" else f"{name}: {what}"
        in_branch = has_rto and objective == Objective.PREFIX  # of a shared trunk
        return ShownToken(index, token, target, rule, "learned", int(in_branch))
    if harmful:
        rule = "rto: position not kept, no label" if has_rto else "prefix: harmful prefix, no label"
        return ShownToken(index, token, None, rule, "harmful", 0)
    return ShownToken(index, token, None, "prompt, no label", "prompt", 0)


def _next_harmful(row: Row, at: int) -> int | None:
    """The token of the harmful response that follows `at` on the trunk."""
    for index in range(at + 1, int(row.subtree_end[at])):
        if row.is_harmful[index] and row.position_ids[index] == row.position_ids[at] + 1:
            return index
    return None


def needed_records(
    triples: Sequence[Triple], benign: Sequence[BenignPair], *, num: int, row_id: str | None
) -> tuple[list[Triple], list[BenignPair]]:
    """The records that are enough for `show_rows`: draws depend on nothing but seed, epoch and record."""
    if row_id is None:
        return list(triples[:num]), list(benign[:num])
    names = {row_id, row_id.split(":", 1)[-1], row_id.split(":", 1)[-1].rsplit(":", 1)[0]}
    return [t for t in triples if t.id in names], [b for b in benign if b.id in names]


def _select(rows: RowSet, *, num: int, row_id: str | None, epoch: int) -> Iterator[Row]:
    kinds = {
        kind: list(units) for kind, units in groupby(range(len(rows)), lambda i: rows.units[i].kind.name)
    }
    if row_id is None:
        for units in kinds.values():
            for unit in units[:num]:
                yield from rows.rows(unit, epoch)
        return
    apart = rows.apart()
    for unit in range(len(rows)):
        together = rows.rows(unit, epoch)
        if rows.units[unit].record.id == row_id:
            yield from together
        else:
            found = [row for row in together if row.row_id == row_id]
            yield from found or [row for row in apart.rows(unit, epoch) if row.row_id == row_id]


def _print_head(encoded: Encoded, console: Console) -> None:
    _print(console, f"template {encoded.renderer.template_hash[:12]}; {describe(encoded.refusal)}")
    for line in prompt_report(encoded.renderer):
        _print(console, line)
    for warning in encoded.refusal.warnings:
        _print(console, f"warning: {warning}", "yellow")
    for reason, count in sorted(encoded.report.dropped.items()):
        _print(console, f"dropped: {count} x {reason}", "yellow")
    _print(
        console, "the label in a line is what the tokens above it (in a branch: its own trunk) must predict"
    )


def _print_row(row: Row, encoded: Encoded, console: Console) -> None:
    renderer = encoded.renderer
    learned = len(row.predict_at)
    _print(console, "")
    _print(console, f"{visible(row.row_id)}: {len(row)} tokens, {learned} labels", "bold")
    _print(console, f"{'index':>6} {'id':>7}  {'token':<22} {'label':<30} rule", "dim")
    depth = 0
    for line in lines(row, encoded.rows.end_id):
        if line.depth > depth:
            after = int(row.position_ids[line.index or 0]) - _prompt_length(row)
            _print(console, f"{'':>16}┬ branch after {after} harmful token(s)", "dim")
        depth = line.depth
        _print(console, _columns(line, renderer), STYLES[line.style])


def _columns(line: ShownToken, renderer: ChatRenderer) -> str:
    index = "" if line.index is None else str(line.index)
    token_id = "" if line.token_id is None else str(line.token_id)
    token = "" if line.token_id is None else ("│ " * line.depth) + _shown(renderer, line.token_id)
    label = "-" if line.label is None else f"{line.label} {_shown(renderer, line.label)}"
    return f"{index:>6} {token_id:>7}  {token:<22} {label:<30} {line.rule}"


def _shown(renderer: ChatRenderer, token_id: int) -> str:
    return f"'{visible(renderer.piece(token_id))}'"


def _prompt_length(row: Row) -> int:
    """Tokens before the first one of a response: a row with branches begins with its prompt."""
    return int(row.position_ids[row.is_harmful].min()) if row.is_harmful.any() else len(row)


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True, highlight=False)
