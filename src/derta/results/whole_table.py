"""A table in the terminal whose figures are never cut: where it does not fit, its rows stand under each other."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_ANY_WIDTH = 10_000  # columns; more than any table needs
_FOLDED = 12  # characters that a name is folded to, if its column says nothing else


def print_whole(table: Table, console: Console) -> None:
    """Print the table, or where the terminal is too narrow for its figures, `column: value` lines for each row."""
    room = [_room(column, console) for column in table.columns]
    options = console.options.update(width=_ANY_WIDTH, max_width=_ANY_WIDTH)
    frame = Measurement.get(console, options, table).maximum - sum(most for _, most in room)
    left = console.width - frame - sum(least for least, _ in room)
    if left < 0:
        console.print(Group(*_stacked(table, console)))
        return
    for column, (least, most) in zip(table.columns, room, strict=True):
        column.width = min(most, least + left)
        left -= column.width - least
    console.print(table)


def _room(column: Column, console: Console) -> tuple[int, int]:
    """The widths between which a column shows its figures whole: its longest word, its longest line."""
    texts = [_plain(text, console).plain for text in (column.header, *column.cells)]
    most = max((cell_len(line) for text in texts for line in text.splitlines()), default=0)
    if column.no_wrap:
        return most, most
    if column.overflow == "fold":
        return min(most, column.min_width or _FOLDED), most
    return max((cell_len(word) for text in texts for word in text.split()), default=0), most


def _stacked(table: Table, console: Console) -> list[RenderableType]:
    shown: list[RenderableType] = [_plain(table.title, console)] if table.title else []
    for values in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = (" ".join(_plain(value, console).plain.split()) for value in values)
        shown.append(Text(first or "–", style="bold"))
        for column, value in zip(table.columns[1:], others, strict=True):
            if value:
                shown.append(Text(f"  {_plain(column.header, console).plain}: {value}"))
    return [*shown, _plain(table.caption, console)] if table.caption else shown


def _plain(value: RenderableType, console: Console) -> Text:
    return value if isinstance(value, Text) else console.render_str(str(value))
