"""Recipes: what the verbs are given, as strict YAML. Light: no torch, no transformers."""

from derta.config.overrides import Overrides, parse_overrides, with_overrides
from derta.config.strict import StrictModel, check_recipe, load_recipe
from derta.config.targets import EndpointSettings, InspectSettings, RequestSettings, TargetModel
from derta.config.yaml_file import parse_value, read_yaml

__all__ = [
    "EndpointSettings",
    "InspectSettings",
    "Overrides",
    "RequestSettings",
    "StrictModel",
    "TargetModel",
    "check_recipe",
    "load_recipe",
    "parse_overrides",
    "parse_value",
    "read_yaml",
    "with_overrides",
]
