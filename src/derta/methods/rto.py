"""Reinforced transition optimization alone: at every position of h the refusal token comes next (eq. 2, second term).

Beside it a plain (q, r) row of each triple: nothing else would teach what follows the refusal token.
"""

from derta.encode.units import RTO, SAFE
from derta.methods.contract import Method

METHOD = Method(
    name="rto",
    title="RTO only",
    what="plain safety tuning and reinforced transition optimization (RTO)",
    source="arXiv 2407.09121, eq. 2 and Table 4",
    role="ablation",
    series=2,
    units=(SAFE, RTO),
)
