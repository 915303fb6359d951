"""Preference pairs: after the same prompt the safe response is preferred to the harmful one.

    prompt_ids    q, as every other row has it
    chosen_ids    r END
    rejected_ids  h END     its probability is only ever pushed down

Invariant: a harmful response is never `chosen_ids`. It is proved where pairs are made and again for every batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from derta.encode.chat import ChatRenderer
from derta.encode.fitting import RowReport
from derta.encode.sampling import seeded_order
from derta.encode.settings import RowSettings
from derta.encode.tokenized import ENCODE_CHUNK
from derta.errors import HarmfulTargetError, TokenizerError
from derta.records import Message, Preference, Triple, turns_to

BENIGN = "benign"  # begins the ids of pairs that are no triples


@dataclass(frozen=True)
class PreferenceRow:
    """One pair in ids; both responses with their end id, unless cut."""

    row_id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


@dataclass(frozen=True)
class _Pair:
    row_id: str
    messages: list[Message]
    chosen: str
    rejected: str


def build_preferences(
    settings: RowSettings,
    renderer: ChatRenderer,
    triples: Sequence[Triple],
    benign: Sequence[Preference],
    *,
    method: str,
    all_triples: Sequence[Triple] = (),
) -> tuple[list[PreferenceRow], RowReport]:
    """The pairs of these triples and of the benign file, in the order of the settings' seed.

    A pair whose chosen response does not fit in `max_length` is dropped; a rejected one is cut. Both are counted.
    method: begins the row ids. all_triples: further ones whose harmful responses must not be chosen.

    Raises:
        DataError: too many pairs dropped. TokenizerError: a response merges with its prompt.
        HarmfulTargetError: a chosen response is a harmful one.
    """
    pairs = [
        _Pair(f"{method}:{t.id}", turns_to(t.harmful_query, t.context), t.safe_response, t.harmful_response)
        for t in triples
    ]
    pairs += [
        _Pair(f"{BENIGN}:{p.id}", turns_to(p.benign_query, p.context), p.chosen, p.rejected) for p in benign
    ]
    _check_texts(pairs, [*triples, *all_triples])
    report = RowReport()
    rows = []
    end = list(renderer.parts.end_ids)
    for pair, prompt, chosen, rejected in _encode(renderer, pairs):
        kind = pair.row_id.split(":", 1)[0]
        report.given[kind] += 1
        if len(prompt) + len(chosen) + len(end) > settings.max_length:
            report.dropped[f"{kind}: prompt and chosen response exceed {settings.max_length} tokens"] += 1
            continue
        room = settings.max_length - len(prompt)
        report.cut[f"{kind}: end of the rejected response"] += len(rejected) + len(end) > room
        report.used[kind] += 1
        rows.append(PreferenceRow(pair.row_id, prompt, chosen + end, (rejected + end)[:room]))
    report.cut += type(report.cut)()  # drops zero counts
    report.check_dropped(settings, "pairs", "Raise max_length or max_dropped_rate")
    check_never_chosen(rows, harmful_ids(rows))
    order = seeded_order([row.row_id for row in rows], settings.seed, method)
    return [rows[index] for index in order], report


def harmful_ids(rows: Iterable[PreferenceRow]) -> frozenset[tuple[int, ...]]:
    """The harmful responses among the rejected ones."""
    return frozenset(tuple(row.rejected_ids) for row in rows if not row.row_id.startswith(f"{BENIGN}:"))


def check_never_chosen(rows: Iterable[PreferenceRow], harmful: frozenset[tuple[int, ...]]) -> None:
    """Prove that no row makes a harmful response more likely.

    Raises:
        HarmfulTargetError: a chosen response is a known harmful one, or the rejected one itself.
    """
    for row in rows:
        chosen = tuple(row.chosen_ids)
        if chosen in harmful or row.chosen_ids == row.rejected_ids:
            raise HarmfulTargetError(
                f"row {row.row_id}: its chosen response is a harmful response (or its own rejected one); training "
                "would make it more likely. Nothing was trained on it; mend the record"
            )


def _check_texts(pairs: Sequence[_Pair], triples: Sequence[Triple]) -> None:
    """The same by text, over all triples of the file: white space and letter case don't hide a harmful response."""
    harmful = {_plain(triple.harmful_response) for triple in triples}
    for pair in pairs:
        if _plain(pair.chosen) in harmful:
            raise HarmfulTargetError(
                f"record {pair.row_id.split(':', 1)[1]}: its chosen response is a harmful response of the triples; "
                "training would make it more likely. Mend the record"
            )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _encode(
    renderer: ChatRenderer, pairs: Sequence[_Pair]
) -> Iterable[tuple[_Pair, list[int], list[int], list[int]]]:
    for start in range(0, len(pairs), ENCODE_CHUNK):
        chunk = pairs[start : start + ENCODE_CHUNK]
        try:
            chosen = renderer.encode_pairs([(pair.messages, pair.chosen) for pair in chunk])
            rejected = renderer.encode_pairs([(pair.messages, pair.rejected) for pair in chunk])
        except TokenizerError as error:
            raise TokenizerError(f"records {chunk[0].row_id} to {chunk[-1].row_id}: {error}") from None
        for pair, (prompt, better), (_, worse) in zip(chunk, chosen, rejected, strict=True):
            yield pair, prompt, better, worse
