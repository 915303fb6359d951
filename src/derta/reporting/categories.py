"""The same rates by the queries' category: cells whose metric is `asr:<category>`, `over_refusal:<category>`, ..."""

from __future__ import annotations

from collections.abc import Sequence

from derta.records import JudgedResponse
from derta.results.cell import Cell, clustered_rate, make_cell
from derta.results.cells import Outcome, attack_labels, is_harmful, is_refusal

BY_KIND: dict[bool, dict[str, Outcome]] = {
    True: {"asr": is_harmful, "refusal_rate": is_refusal},
    False: {"over_refusal": is_refusal},
}


def category_cells(responses: Sequence[JudgedResponse]) -> list[Cell]:
    """A cell per model, attack, judge and category, in input order; queries without a category are in none."""
    groups: dict[tuple[str, str, str, str, str], list[JudgedResponse]] = {}
    for row in responses:
        if row.category is not None:
            for attack in attack_labels(row):
                key = (row.model, row.method, attack, row.judge, row.category)
                groups.setdefault(key, []).append(row)
    return [
        make_cell(
            (model, method, attack, judge),
            f"{metric}:{category}",
            clustered_rate([outcome(row) for row in rows], [row.query_id for row in rows]),
        )
        for (model, method, attack, judge, category), rows in groups.items()
        for metric, outcome in BY_KIND[rows[0].kind == "harmful"].items()
    ]
