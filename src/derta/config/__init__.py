"""Recipes: what the verbs are given, as strict YAML. Light: no torch, no transformers."""

from derta.config.attacks import (
    AttackSettings,
    AutoDanAttack,
    CodeAttack,
    CompletingAttack,
    JailbreakChatAttack,
    OwnAttack,
    PairAttack,
    PrefillAttack,
    SelfCipherAttack,
)
from derta.config.evaluate import Budget, EvaluateRecipe, GenerationSettings, Price
from derta.config.strict import StrictModel, check_recipe, load_recipe, parse_value, read_yaml
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

__all__ = [
    "METHODS",
    "AttackSettings",
    "AutoDanAttack",
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
    "OwnAttack",
    "PairAttack",
    "PrefillAttack",
    "Price",
    "ProbeSettings",
    "RequestSettings",
    "SelfCipherAttack",
    "StrictModel",
    "TargetModel",
    "TrainRecipe",
    "check_recipe",
    "load_recipe",
    "parse_value",
    "read_yaml",
]
