"""Vanilla safety tuning on as many triples as the other methods see (the paper's Vanilla-): half as many rows."""

from derta.encode.units import SAFE
from derta.methods.contract import Method

METHOD = Method(
    name="vanilla_half",
    title="vanilla, half the data",
    what="plain safety tuning on (query, safe response), n triples",
    source="arXiv 2407.09121, Table 4",
    role="ablation",
    series=5,
    units=(SAFE,),
)
