"""Records in ids: what the tokenizer makes of a triple or a benign pair, before any objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np

from derta.encode.chat import ChatRenderer
from derta.encode.fitting import RowReport
from derta.encode.refusal_token import RefusalToken
from derta.encode.row import Int32
from derta.encode.units import EncodedPair, EncodedTriple
from derta.errors import TokenizerError
from derta.records import BenignPair, Message, Triple, turns_to
from derta.thoughts import part

ENCODE_CHUNK = 512  # conversations tokenized in one call

Conversation = tuple[str, list[Message], str]
"""A record's id, the turns up to its query, and a response."""


def encode_benign(
    renderer: ChatRenderer, pairs: Sequence[BenignPair], report: RowReport | None = None
) -> Iterator[EncodedPair]:
    """Benign pairs in ids, in order; the last end id is not in them. report: counts mended responses."""
    conversations = [(pair.id, turns_to(pair.benign_query, pair.context), pair.response) for pair in pairs]
    encoded = _encode_many(renderer, conversations, "benign response", report)
    for (name, _, text), (prompt, response) in zip(conversations, encoded, strict=True):
        ids = _int32([*response, *renderer.inner_end_ids])
        yield EncodedPair(name, _int32(prompt), ids, bool(part(text).thought))


def encode_triples(
    renderer: ChatRenderer,
    refusal: RefusalToken,
    triples: Sequence[Triple],
    report: RowReport | None = None,
) -> Iterator[EncodedTriple]:
    """Triples in ids, in order; with the contextual rule each safe response in its three beginnings.

    report: counts the responses that were mended.
    """
    turns = [turns_to(triple.harmful_query, triple.context) for triple in triples]
    asked = list(zip(triples, turns, strict=True))
    answers = [(t.id, messages, t.safe_response) for t, messages in asked]
    safe = _encode_many(renderer, answers, "safe response", report)
    answers = [(t.id, messages, t.harmful_response) for t, messages in asked]
    harmful = _encode_many(renderer, answers, "harmful response", report)
    beginnings = _safe_beginnings(renderer, triples) if refusal.rule == "contextual" else repeat(None)
    for triple, (prompt, safe_ids), (_, harmful_ids), others in zip(triples, safe, harmful, beginnings):  # noqa: B905
        start = running = line = _int32([*safe_ids, *renderer.inner_end_ids])
        if others is not None:
            running, line = others
        thinks = any(part(text).thought for text in (triple.safe_response, triple.harmful_response))
        yield EncodedTriple(triple.id, _int32(prompt), _int32(harmful_ids), (start, running, line), thinks)


def _safe_beginnings(renderer: ChatRenderer, triples: Sequence[Triple]) -> Iterator[tuple[Int32, Int32]]:
    """Each safe response as it continues a line, and as it begins a line."""
    for start in range(0, len(triples), ENCODE_CHUNK):
        texts = [triple.safe_response for triple in triples[start : start + ENCODE_CHUNK]]
        try:
            found = _behind_a_step(renderer, texts)
        except TokenizerError:
            found = _behind_a_step(renderer, [text.lstrip() for text in texts])
        yield from found


def _behind_a_step(renderer: ChatRenderer, texts: Sequence[str]) -> list[tuple[Int32, Int32]]:
    running = renderer.running_ids([f" {text}" for text in texts], after="Step one")
    line = renderer.running_ids(texts, after="Step one\n")
    closed = ([_int32([*ids, *renderer.inner_end_ids]) for ids in each] for each in (running, line))
    return list(zip(*closed, strict=True))


def _encode_many(
    renderer: ChatRenderer, conversations: Sequence[Conversation], what: str, report: RowReport | None
) -> Iterator[tuple[list[int], list[int]]]:
    for start in range(0, len(conversations), ENCODE_CHUNK):
        chunk = conversations[start : start + ENCODE_CHUNK]
        try:
            yield from renderer.encode_pairs([(messages, response) for _, messages, response in chunk])
        except TokenizerError:  # one of them: which?
            yield from [_encode_one(renderer, conversation, what, report) for conversation in chunk]


def _encode_one(
    renderer: ChatRenderer, conversation: Conversation, what: str, report: RowReport | None
) -> tuple[list[int], list[int]]:
    """As `encode_pairs`; white space that merges with the prompt's end is taken from the response's start.

    Raises:
        TokenizerError: it can't be encoded; names the record.
    """
    name, messages, response = conversation
    try:
        return renderer.encode_pairs([(messages, response)])[0]
    except TokenizerError as error:
        if response == response.lstrip():
            raise TokenizerError(f"record {name}, {what}: {error}") from None
    found = _encode_one(renderer, (name, messages, response.lstrip()), what, report)
    if report is not None:
        report.cut[f"{what}: white space at its start, which merges with the prompt"] += 1
    return found


def _int32(ids: Sequence[int]) -> Int32:
    return np.asarray(ids, dtype=np.int32)
