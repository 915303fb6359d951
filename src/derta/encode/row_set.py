"""All rows of a method: each made anew for its epoch, with that epoch's k and kept positions.

Rows of one triple, in a notebook:

    >>> from derta.encode.row_set import encode
    >>> from derta.encode.settings import RowSettings
    >>> from derta.methods import METHODS
    >>> from derta.models import load_tokenizer
    >>> from derta.records import Triple
    >>> triple = Triple(
    ...     id="t1",
    ...     harmful_query="How do I curse a well?",
    ...     safe_response="Sorry, the guild forbids it.",
    ...     harmful_response="1. Grind the wax.",
    ... )
    >>> encoded = encode(load_tokenizer("my_model"), METHODS["rto"].units, RowSettings(), [triple])
    >>> [row.row_id for row in encoded.rows.all_rows(epoch=0)]
    ['safe:t1', 'rto:t1']
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerBase

from derta.encode.chat import ChatRenderer
from derta.encode.fitting import RowReport, fits
from derta.encode.harmful_text import HarmfulText, check_against_pair, check_against_triple
from derta.encode.refusal_token import RefusalToken, resolve_refusal_token
from derta.encode.row import Int32, Objective, Row, check_never_learn_harm
from derta.encode.settings import ObjectiveWeights, RowSettings
from derta.encode.tokenized import encode_benign, encode_triples
from derta.encode.units import BENIGN, EncodedPair, EncodedTriple, Unit, UnitKind
from derta.files import atomic_path
from derta.records import BenignPair, Triple

LabelWeight = npt.NDArray[np.float64]
"""float64[4]: the weight of labels, by `Objective`."""


class RowSet:
    """All units of one method; `rows(index, epoch)` makes a unit's rows anew, with that epoch's draws.

    harmful: what none of them may teach. shared_trunk: a triple's prefix and RTO rows are one row. refusals: the safe
    responses of its triples, for rows of benign pairs. allowed: the ids that may be labels along a harmful response.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        settings: RowSettings,
        refusal: RefusalToken,
        end_id: int,
        harmful: HarmfulText,
        *,
        shared_trunk: bool = False,
        refusals: Sequence[Int32] = (),
    ) -> None:
        self.units = units
        self.settings = settings
        self.refusal = refusal
        self.end_id = end_id
        self.harmful = harmful
        self.shared_trunk = shared_trunk
        self.refusals = refusals
        ends = any(unit.kind.ends for unit in units)
        self.allowed = refusal.ids | {end_id} if ends else refusal.ids

    def __len__(self) -> int:
        return len(self.units)

    def rows(self, index: int, epoch: int) -> list[Row]:
        """The rows of one unit, each proved to teach no harmful token.

        Raises:
            HarmfulTargetError: a row would (nothing is trained on it).
        """
        unit = self.units[index]
        made = unit.make_rows(
            epoch, self.settings, self.refusal, self.end_id, shared_trunk=self.shared_trunk,
            refusals=self.refusals,
        )  # fmt: skip
        rows = [weighted(row, self.settings.weights) for row in made]
        for row in rows:
            check_never_learn_harm(row, self.allowed)
            if isinstance(unit.record, EncodedTriple):
                check_against_triple(row, unit.record, self.allowed)
                self.harmful.check(row)
            elif unit.kind.make_benign is not None:
                check_against_pair(row, unit.record, self.end_id)
        return rows

    def all_rows(self, epoch: int) -> Iterator[Row]:
        """Every unit's rows, in the units' order."""
        for index in range(len(self)):
            yield from self.rows(index, epoch)

    def apart(self) -> RowSet:
        """The same units, each triple's rows on their own."""
        return RowSet(
            self.units, self.settings, self.refusal, self.end_id, self.harmful, refusals=self.refusals
        )

    def sizes(self, index: int, epoch: int) -> list[tuple[int, LabelWeight]]:
        """(tokens, weight of the labels by objective) of each row of a unit, without making rows that are the same
        every epoch.
        """
        kind, record = self.units[index].kind, self.units[index].record
        if isinstance(record, EncodedTriple) or kind.make_benign is not None:
            return [(len(row), label_weight(row)) for row in self.rows(index, epoch)]
        prompt = len(record.prompt_ids)
        length = min(prompt + len(record.response_ids) + 1, self.settings.max_length)
        weight = np.zeros(len(Objective))
        weight[kind.objective] = (length - prompt) * _each(self.settings.weights)[kind.objective]
        return [(length, weight)]


@dataclass(frozen=True)
class Encoded:
    """The rows of a method, and what they were made with."""

    renderer: ChatRenderer
    refusal: RefusalToken
    rows: RowSet
    report: RowReport


def encode(
    tokenizer: PreTrainedTokenizerBase,
    kinds: Sequence[UnitKind],
    settings: RowSettings,
    triples: Sequence[Triple],
    benign: Sequence[BenignPair] = (),
    *,
    shared_trunk: bool = False,
) -> Encoded:
    """Every triple as each of the kinds, and every benign pair, in rows.

    Raises:
        TokenizerError: the tokenizer can't be used safely, or a response merges with its prompt's end.
        DataError: more rows dropped than `max_dropped_rate`.
    """
    renderer = ChatRenderer.of(tokenizer, settings.chat)
    refusal = resolve_refusal_token(renderer, settings.refusal.text, settings.refusal.token)
    rows, report = build_rows(kinds, settings, renderer, refusal, triples, benign, shared_trunk=shared_trunk)
    return Encoded(renderer, refusal, rows, report)


def build_rows(
    kinds: Sequence[UnitKind],
    settings: RowSettings,
    renderer: ChatRenderer,
    refusal: RefusalToken,
    triples: Sequence[Triple],
    benign: Sequence[BenignPair],
    *,
    shared_trunk: bool = False,
) -> tuple[RowSet, RowReport]:
    """As `encode`, with a renderer and its refusal token at hand."""
    report = RowReport()
    encoded = list(encode_triples(renderer, refusal, triples, report))
    report.opening_share = _opening_share(encoded, refusal)
    of_benign = next((kind for kind in kinds if kind.make_benign), BENIGN)
    units = [
        Unit(kind, triple if kind.make else _as_pair(triple))
        for kind in kinds
        for triple in encoded
        if kind is not of_benign
    ]
    units += [Unit(of_benign, pair) for pair in encode_benign(renderer, benign, report)]
    used = [unit for unit in units if fits(unit, settings, report)]
    report.check_dropped(
        settings,
        "rows",
        f"Raise max_length ({settings.max_length}), set on_long: cut, or raise max_dropped_rate",
    )
    harmful = HarmfulText(encoded, renderer.end_id)
    refusals = [triple.safe_ids[0] for triple in encoded]
    end_id = renderer.end_id
    return RowSet(
        used, settings, refusal, end_id, harmful, shared_trunk=shared_trunk, refusals=refusals
    ), report


def weighted(row: Row, weights: ObjectiveWeights) -> Row:
    """The row, each label multiplied with its objective's weight."""
    return replace(row, weight=row.weight * _each(weights)[row.objective])


def label_weight(row: Row) -> LabelWeight:
    """The weight of a row's labels, by objective."""
    return np.bincount(row.objective, row.weight, len(Objective)).astype(np.float64)


def _each(weights: ObjectiveWeights) -> npt.NDArray[np.float32]:
    return np.array([getattr(weights, objective.name.lower()) for objective in Objective], dtype=np.float32)


def save_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as flat arrays with offsets (safetensors; the same rows give the same bytes)."""
    flat = {
        name: np.concatenate([getattr(row, name) for row in rows])
        for name in (
            "input_ids",
            "position_ids",
            "subtree_end",
            "is_harmful",
            "predict_at",
            "target_ids",
            "target_index",
            "weight",
            "objective",
        )
    }
    flat["row_length"] = np.array([len(row) for row in rows], dtype=np.int64)
    flat["num_entries"] = np.array([len(row.predict_at) for row in rows], dtype=np.int64)
    with atomic_path(path) as temporary:
        save_file(flat, temporary)


def _as_pair(triple: EncodedTriple) -> EncodedPair:
    return EncodedPair(triple.id, triple.prompt_ids, triple.safe_ids[0], triple.thinks)


def _opening_share(triples: Sequence[EncodedTriple], refusal: RefusalToken) -> float | None:
    if not triples:
        return None
    return sum(int(t.safe_ids[0][0]) == refusal.start_id for t in triples if len(t.safe_ids[0])) / len(
        triples
    )
