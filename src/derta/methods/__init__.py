"""Training methods, one file each, in the order of the paper's ablation, then its rivals. Light: no torch.

To add one: docs/adding_a_method.md.
"""

from derta.methods import counter, deep, derta, dpo, end, insertion, prefix, rto, vanilla, vanilla_half
from derta.methods.contract import Method

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (vanilla, vanilla_half, prefix, rto, derta, dpo, deep, insertion, counter, end)
}
BASELINE = next(name for name, method in METHODS.items() if method.role == "baseline")
"""What the others are compared with."""
PROPOSED = next(name for name, method in METHODS.items() if method.role == "proposed")

__all__ = ["BASELINE", "METHODS", "PROPOSED", "Method"]
