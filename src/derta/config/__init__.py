"""Recipes: what the verbs are given, as strict YAML. Light: no torch, no transformers."""

from derta.config.attacks import (
    AttackSettings,
    AutoDanAttack,
    BanRefusalAttack,
    CodeAttack,
    CompletingAttack,
    JailbreakChatAttack,
    MultiTurnAttack,
    NoBosAttack,
    NoTemplateAttack,
    OwnAttack,
    PairAttack,
    PastRefusalAttack,
    PrefillAttack,
    SampledAttack,
    SelfCipherAttack,
)
from derta.config.evaluate import Budget, EvaluateRecipe, GenerationSettings, Price
from derta.config.overrides import Overrides, parse_overrides, with_overrides
from derta.config.strict import StrictModel, check_recipe, load_recipe
from derta.config.targets import EndpointSettings, InspectSettings, RequestSettings, TargetModel
from derta.config.train import (
    METHODS,
    DpoSettings,
    LoraSettings,
    Method,
    ModelSettings,
    ProbeSettings,
    TrainRecipe,
)
from derta.config.yaml_file import parse_value, read_yaml

__all__ = [
    "METHODS",
    "AttackSettings",
    "AutoDanAttack",
    "BanRefusalAttack",
    "Budget",
    "CodeAttack",
    "CompletingAttack",
    "DpoSettings",
    "EndpointSettings",
    "EvaluateRecipe",
    "GenerationSettings",
    "InspectSettings",
    "JailbreakChatAttack",
    "LoraSettings",
    "Method",
    "ModelSettings",
    "MultiTurnAttack",
    "NoBosAttack",
    "NoTemplateAttack",
    "Overrides",
    "OwnAttack",
    "PairAttack",
    "PastRefusalAttack",
    "PrefillAttack",
    "Price",
    "ProbeSettings",
    "RequestSettings",
    "SampledAttack",
    "SelfCipherAttack",
    "StrictModel",
    "TargetModel",
    "TrainRecipe",
    "check_recipe",
    "load_recipe",
    "parse_overrides",
    "parse_value",
    "read_yaml",
    "with_overrides",
]
