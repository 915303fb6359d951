"""Deep safety alignment: the safe response after up to 100 tokens of the harmful one (Qi et al., ICLR 2025).

    - E log P(r | q, h[:k])        k = 0 with probability 1/2, else uniform in 1..min(100, |h|)

Differs from the paper: its safety examples and its utility anchor stand in batches of their own (4 to 16); here the
benign pairs are the anchor, in the same batches as for every method. Its constraint for later fine-tuning is another
method, and left out.
"""

from derta.encode.row import Row, prefix_row
from derta.encode.sampling import generator
from derta.encode.units import PREFIX, DrawnTriple, UnitKind
from derta.methods.contract import Method

MOST = 100  # tokens of harmful prefix (arXiv 2406.05946, section 3)


def draw_k(triple: DrawnTriple) -> int:
    """k of this triple in this epoch; at most what leaves room for the safe response and its end."""
    rng = generator(triple.settings.seed, triple.epoch, triple.record.id, "deep")
    room = triple.settings.max_length - len(triple.record.prompt_ids)
    room -= max(len(ids) for ids in triple.record.safe_ids) + 1
    most = min(MOST, len(triple.record.harmful_ids), room)
    return 0 if most < 1 or rng.random() < 1 / 2 else int(rng.integers(1, most, endpoint=True))


def rows(triple: DrawnTriple) -> list[Row]:
    """(q, h[:k], r)."""
    k, record = draw_k(triple), triple.record
    row_id = f"deep:{record.id}"
    return [
        prefix_row(row_id, record.prompt_ids, record.harmful_ids[:k], triple.safe_after(k), triple.end_id)
    ]


METHOD = Method(
    name="deep",
    title="Deep alignment",
    what="the safe response after 0 (half of the time) to 100 tokens of the harmful one",
    source="arXiv 2406.05946",
    role="rival",
    units=(UnitKind("deep", {"deep": PREFIX.rows["prefix"]}, rows),),
)
