"""Records in ids: what the tokenizer makes of a triple or a benign pair, before any objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np

from derta.encode.chat import ChatRenderer, Message
from derta.encode.refusal_token import RefusalToken
from derta.encode.row import Int32
from derta.encode.units import EncodedPair, EncodedTriple
from derta.errors import TokenizerError
from derta.records import BenignPair, Triple

ENCODE_CHUNK = 512  # conversations tokenized in one call


def encode_benign(renderer: ChatRenderer, pairs: Sequence[BenignPair]) -> Iterator[EncodedPair]:
    """Benign pairs in ids, in order."""
    conversations = [(pair.id, pair.benign_query, pair.response) for pair in pairs]
    for (name, _, _), (prompt, response) in zip(
        conversations, _encode_many(renderer, conversations), strict=True
    ):
        yield EncodedPair(name, _int32(prompt), _int32(response))


def encode_triples(
    renderer: ChatRenderer, refusal: RefusalToken, triples: Sequence[Triple]
) -> Iterator[EncodedTriple]:
    """Triples in ids, in order; with the contextual rule each safe response in its three beginnings."""
    safe = _encode_many(renderer, [(t.id, t.harmful_query, t.safe_response) for t in triples])
    harmful = _encode_many(renderer, [(t.id, t.harmful_query, t.harmful_response) for t in triples])
    beginnings = _safe_beginnings(renderer, triples) if refusal.rule == "contextual" else repeat(None)
    for triple, (prompt, safe_ids), (_, harmful_ids), others in zip(triples, safe, harmful, beginnings):  # noqa: B905
        start = running = line = _int32(safe_ids)
        if others is not None:
            running, line = others
        yield EncodedTriple(triple.id, _int32(prompt), _int32(harmful_ids), (start, running, line))


def _safe_beginnings(renderer: ChatRenderer, triples: Sequence[Triple]) -> Iterator[tuple[Int32, Int32]]:
    """Each safe response as it continues a line, and as it begins a line."""
    for start in range(0, len(triples), ENCODE_CHUNK):
        texts = [triple.safe_response for triple in triples[start : start + ENCODE_CHUNK]]
        running = renderer.running_ids([f" {text}" for text in texts], after="Step one")
        line = renderer.running_ids(texts, after="Step one\n")
        yield from zip(map(_int32, running), map(_int32, line), strict=True)


def _encode_many(
    renderer: ChatRenderer, conversations: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[list[int], list[int]]]:
    for start in range(0, len(conversations), ENCODE_CHUNK):
        chunk = conversations[start : start + ENCODE_CHUNK]
        pairs: list[tuple[list[Message], str]] = [
            ([{"role": "user", "content": query}], response) for _, query, response in chunk
        ]
        try:
            yield from renderer.encode_pairs(pairs)
        except TokenizerError as error:
            raise TokenizerError(f"records {chunk[0][0]} to {chunk[-1][0]}: {error}") from None


def _int32(ids: Sequence[int]) -> Int32:
    return np.asarray(ids, dtype=np.int32)
