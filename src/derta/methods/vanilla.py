"""Vanilla safety tuning: plain (q, r) rows. The paper's baseline; twice the triples, so that the rows are as many."""

from derta.encode.units import SAFE
from derta.methods.contract import Method

METHOD = Method(
    name="vanilla",
    title="vanilla",
    what="plain safety tuning on (query, safe response), 2n triples",
    source="arXiv 2407.09121, Table 4",
    role="baseline",
    series=0,
    units=(SAFE,),
    triples_per_n=2,
)
