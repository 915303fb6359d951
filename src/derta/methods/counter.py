"""DeRTa with counter rows: a benign answer that was begun with a refusal goes on helpfully.

    DeRTa's rows, and for a quarter of the benign pairs of an epoch
    - E log P(response | benign query, r[:k])             r of any triple, k uniform in 1..|r|

RTO teaches to break off anywhere; this teaches to come back where nothing is wrong. After RECAP (arXiv 2510.00938),
which prefills thoughts and rewards their correction by RL: here it is one label pattern, and no reward. The quarter
is a choice of ours.
"""

import numpy as np

from derta.encode.row import Objective, Row, plain_row
from derta.encode.sampling import generator
from derta.encode.units import DrawnPair, UnitKind, cut
from derta.methods.contract import Method
from derta.methods.derta import METHOD as DERTA

SHARE = 1 / 4  # of the benign pairs of an epoch


def benign_row(pair: DrawnPair) -> Row:
    """(q, r[:k], response), or the plain (q, response): only the response and its end are learned."""
    record, limit = pair.record, pair.settings.max_length
    rng = generator(pair.settings.seed, pair.epoch, record.id, "counter")
    begun = np.zeros(0, dtype=np.int32)
    if pair.refusals and rng.random() < SHARE:
        refusal = pair.refusals[int(rng.integers(len(pair.refusals)))]
        most = min(len(refusal), limit - len(record.prompt_ids) - len(record.response_ids) - 1)
        begun = refusal[: int(rng.integers(1, most, endpoint=True))] if most > 0 else begun
    before = np.concatenate([record.prompt_ids, begun])
    row = plain_row(f"counter:{record.id}", before, record.response_ids, pair.end_id, Objective.BENIGN)
    return row if len(row) <= limit else cut(row, limit)


METHOD = Method(
    name="counter",
    title="DeRTa + counter",
    what="DeRTa, and benign answers that were begun with a refusal and go on helpfully",
    source="after arXiv 2510.00938",
    role="rival",
    units=(*DERTA.units, UnitKind("counter", {"benign": ("query", "benign")}, make_benign=benign_row)),
)
