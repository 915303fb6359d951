"""Decoupled Refusal Training: MLE with harmful response prefix, and RTO (paper, eq. 2).

Both rows of a triple are one unit: they always meet in the same global batch. Where the architecture computes it
exactly they are one row, a trunk q h with a safe response as a branch at each h[:k]; the numbers are the same.
"""

from derta.encode.row import Row
from derta.encode.units import PREFIX, RTO, DrawnTriple, UnitKind
from derta.methods.contract import Method


def rows(triple: DrawnTriple) -> list[Row]:
    """The prefix rows and the RTO row of a triple, or all of them as one."""
    if triple.shared_trunk:
        return [triple.trunk_row("derta")]
    return [*triple.prefix_rows(), triple.rto_row()]


METHOD = Method(
    name="derta",
    title="DeRTa",
    what="Decoupled Refusal Training: MLE with harmful response prefix, and RTO",
    source="arXiv 2407.09121, eq. 2",
    role="proposed",
    series=1,
    units=(UnitKind("derta", {**PREFIX.rows, **RTO.rows}, rows),),
)
