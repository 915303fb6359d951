"""End: RTO with the end of the turn in the refusal token's place (after A2D, arXiv 2509.23286, ICLR 2026).

    - E log P(r | q)                                      plain: it is said once that the answer is no
    - E sum_t log P(end of turn | q, h[:t])               t = 1 .. |h|-1, kept positions

Differs from the paper, which trains diffusion models on [EOS] at masked positions: here it is the next token of an
autoregressive model, and the first token stays the refusal's, or every answer would be empty.
"""

from derta.encode.row import Row, rto_row
from derta.encode.units import RTO, SAFE, DrawnTriple, UnitKind
from derta.methods.contract import Method


def rows(triple: DrawnTriple) -> list[Row]:
    """(q, h), the end of turn at each kept position of h but the first (behind h_1, if that was the only one)."""
    kept = [position for position in triple.rto_labels[1] if position > 0] or [1]
    labels = [triple.end_id] * (len(triple.harmful_ids) + 1)
    row_id = f"end:{triple.record.id}"
    return [rto_row(row_id, triple.record.prompt_ids, triple.harmful_ids, labels, kept)]


METHOD = Method(
    name="end",
    title="RTO to the end of turn",
    what="plain safety tuning, and the end of the turn along harmful responses (RTO with another token)",
    source="after arXiv 2509.23286",
    role="rival",
    units=(SAFE, UnitKind("end", {"end": RTO.rows["rto"]}, rows, ends=True)),
)
