"""MLE with harmful response prefix alone: (q, h[:k], r), first term of the paper's eq. 2."""

from derta.encode.units import PREFIX
from derta.methods.contract import Method

METHOD = Method(
    name="prefix",
    title="prefix only",
    what="MLE with harmful response prefix",
    source="arXiv 2407.09121, eq. 2 and Table 4",
    role="ablation",
    series=3,
    units=(PREFIX,),
)
