"""Recipes: what the verbs are given, as strict YAML. Light: no torch, no transformers."""

from derta.config.attacks import (
    AttackSettings,
    AutoDanAttack,
    CodeAttack,
    CompletingAttack,
    JailbreakChatAttack,
    PairAttack,
    PrefillAttack,
    SelfCipherAttack,
)
from derta.config.evaluate import EvaluateRecipe, GenerationSettings, TargetModel
from derta.config.strict import StrictModel, check_recipe, load_recipe, parse_value, read_yaml
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
    "CodeAttack",
    "CompletingAttack",
    "DpoSettings",
    "EvaluateRecipe",
    "GenerationSettings",
    "JailbreakChatAttack",
    "LoraSettings",
    "Method",
    "ModelSettings",
    "PairAttack",
    "PrefillAttack",
    "ProbeSettings",
    "SelfCipherAttack",
    "StrictModel",
    "TargetModel",
    "TrainRecipe",
    "check_recipe",
    "load_recipe",
    "parse_value",
    "read_yaml",
]
