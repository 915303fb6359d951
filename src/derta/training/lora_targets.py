"""Which weights of a model get adapters."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from derta.errors import ModelError
from derta.model_classes import decoder_of
from derta.patterns import matching
from derta.training.recipe import LoraSettings

# they choose experts; they are no projections (classifier: LongCat's)
ROUTERS = ("gate", "router", "shared_expert_gate", "classifier")
# Read as bare weights by the fused kernels of Mamba layers, which would pass an adapter by (peft refuses some too).
FUSED = ("out_proj", "dt_proj")
# Names that peft takes for experts of transformers 4 in some architectures, and would move to their tensors.
TAKEN_FOR_EXPERTS = ("gate_proj", "up_proj", "down_proj", "gate", "w1", "w2", "w3")


@dataclass(frozen=True)
class Targets:
    """Full names of modules and of parameters to adapt; excluded: modules whose names only look like targets."""

    modules: list[str]
    parameters: list[str]
    excluded: list[str] = field(default_factory=list)

    @property
    def leaves(self) -> list[str]:
        """Last names of the parameters."""
        return _leaves(self.parameters)

    def parameter_names(self, model: PreTrainedModel) -> list[str]:
        """As peft needs them: the last two names where these mean the same tensors, else whole."""
        short = sorted({".".join(name.split(".")[-2:]) for name in self.parameters})
        means = {
            name for name, _ in model.named_parameters() if name.endswith(tuple(f".{end}" for end in short))
        }
        return short if means == set(self.parameters) else self.parameters


def chosen_targets(model: PreTrainedModel, settings: LoraSettings) -> Targets:
    """What the recipe asks for: all projections, or the modules that it names, less what it excludes.

    Raises:
        ModelError: a name that no module has; nothing left; the head, which is trained whole or not at all.
    """
    names = [name for name, _ in model.named_modules() if name]
    all_modules, experts = projections(model)
    if settings.target_modules in (None, "all-linear"):
        modules = all_modules
    else:
        modules, experts = _named(settings.target_modules, names, "lora.target_modules"), _no_names()
    left_out = set(_named(settings.exclude, names, "lora.exclude")) if settings.exclude else set()
    owners = {name: name.rsplit(".", 1)[0] for name in experts}
    experts = [name for name in experts if not {name, owners[name]} & left_out]
    modules = [name for name in modules if name not in left_out]
    parts = dict(model.named_modules())
    if any(parts[name] is model.get_output_embeddings() for name in modules):
        raise ModelError(
            "lora.target_modules: names the output head, which has no adapter here; lora.modules_to_save trains it"
        )
    if not modules and not experts:
        raise ModelError("lora: no module is left to put adapters on; see target_modules and exclude")
    moved: list[str] = []
    if _has_expert_tensors(model):
        moved = [name for name in modules if name.split(".")[-1] in TAKEN_FOR_EXPERTS]
        modules = [name for name in modules if name not in set(moved)]
    routers = [name for name in names if name.split(".")[-1] in ROUTERS and name not in set(modules)]
    return Targets(modules, experts + [f"{name}.weight" for name in moved], routers + sorted(left_out))


def projections(model: PreTrainedModel) -> tuple[list[str], list[str]]:
    """Names of all linear modules and of all expert weight tensors inside the decoder's layers.

    Raises:
        ModelError: the architecture has none.
    """
    layers = layers_of(model)
    inside = {id(module) for module in layers.modules()}
    fused = {id(child) for module in layers.modules() for child in _fused_children(module)}
    modules = [
        name
        for name, module in model.named_modules()
        if id(module) in inside
        and isinstance(module, nn.Linear | Conv1D)
        and name.split(".")[-1] not in ROUTERS
        and id(module) not in fused
    ]
    weights = {id(weight) for weight in _expert_tensors(layers)}
    parameters = [name for name, parameter in model.named_parameters() if id(parameter) in weights]
    if not modules:
        raise ModelError(f"{model.config.model_type}: no linear projection found to put adapters on")
    return modules, parameters


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's list of layers, whatever it is called (layers, h, blocks): the one with the most weights.

    Raises:
        ModelError: it has no list.
    """
    decoder = decoder_of(model)
    lists = [module for module in decoder.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise ModelError(f"{model.config.model_type}: its decoder has no list of layers to put adapters in")
    return max(lists, key=lambda found: sum(weight.numel() for weight in found.parameters()))


def short_names(modules: Sequence[str], names: Iterable[str]) -> list[str]:
    """Last names where these mean the same modules (short, and what servers know), else the whole names.

    Routers are excluded apart and do not count.
    """
    leaves = _leaves(modules)
    means = {name for name in names if name.split(".")[-1] in leaves and name.split(".")[-1] not in ROUTERS}
    return leaves if means == set(modules) else list(modules)


def _named(wanted: str | list[str] | None, names: list[str], key: str) -> list[str]:
    """Modules that a regular expression matches whole, or whose names are or end with one of a list's."""
    if isinstance(wanted, str):
        found = matching(wanted, names, key)
        if not found:
            raise ModelError(f"{key}: {wanted!r} matches no module; a name here looks like {names[-1]!r}")
        return found
    ends = {part for name in names for part in (name, name.split(".")[-1])}
    for one in wanted or ():
        if not any(name == one or name.endswith(f".{one}") for name in names):
            near = difflib.get_close_matches(one, sorted(ends), n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise ModelError(f"{key}: no module is called {one!r}{hint}")
    return [n for n in names if any(n == one or n.endswith(f".{one}") for one in wanted or ())]


def _fused_children(module: nn.Module) -> list[nn.Module]:
    """Of a Mamba mixer (it has A_log and D), the modules that its kernels read as bare weights."""
    if not (hasattr(module, "A_log") and hasattr(module, "D")):
        return []
    return [child for name, child in module.named_children() if name in FUSED]


def _expert_tensors(layers: nn.Module) -> list[nn.Parameter]:
    """3-D weights of all experts together; the kernels of convolutions have three dimensions too, and are none."""
    found = []
    for name, module in layers.named_modules():
        named = "expert" in name.lower() or "expert" in type(module).__name__.lower()
        found += [weight for weight in module.parameters(recurse=False) if weight.ndim == 3 and named]
    return found


def _has_expert_tensors(model: PreTrainedModel) -> bool:
    return bool(_expert_tensors(layers_of(model)))


def _no_names() -> list[str]:
    return []


def _leaves(names: Iterable[str]) -> list[str]:
    return sorted({name.split(".")[-1] for name in names})
