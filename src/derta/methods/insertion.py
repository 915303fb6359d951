"""Random insertion: a harmful span inside a safe response, which goes on behind it (arXiv 2606.04168).

    - E log P(r | q)                                      plain
    - E log P(r[j:] | q, r[:j], h[a:a+m])                 j uniform in 0..|r|, m in 1..|h|, a in 0..|h|-m

Differs from the paper, of which the abstract was read: the span is drawn, not the worst of several; how long spans
are and where they go is ours. Neither r[:j] nor the span is learned in the second row.
"""

import numpy as np

from derta.encode.row import Row, prefix_row
from derta.encode.sampling import generator
from derta.encode.units import SAFE, DrawnTriple, UnitKind
from derta.methods.contract import Method


def rows(triple: DrawnTriple) -> list[Row]:
    """(q, r[:j], h[a:a+m], r[j:]); the span is at most what `max_length` leaves room for."""
    record = triple.record
    rng = generator(triple.settings.seed, triple.epoch, record.id, "insertion")
    safe = record.safe_ids[0]
    j = int(rng.integers(0, len(safe), endpoint=True))
    longest_safe = max(len(ids) for ids in record.safe_ids)
    room = triple.settings.max_length - len(record.prompt_ids) - longest_safe - 1
    most = min(room, len(record.harmful_ids))
    m = int(rng.integers(1, most, endpoint=True)) if most > 0 else 0
    a = int(rng.integers(0, len(record.harmful_ids) - m, endpoint=True))
    # a whole response behind the span begins as the refusal rule has it after the span's last token
    after = safe[j:] if j else triple.safe_after(a + m)
    before = np.concatenate([record.prompt_ids, safe[:j]])
    return [prefix_row(f"insertion:{record.id}", before, record.harmful_ids[a : a + m], after, triple.end_id)]


METHOD = Method(
    name="insertion",
    title="Random insertion",
    what="plain safety tuning, and safe responses that go on behind a harmful span inside them",
    source="arXiv 2606.04168",
    role="rival",
    units=(SAFE, UnitKind("insertion", {"insertion": ("query", "safe", "prefix")}, rows)),
)
