"""PAIR: the attack (attack.py), its settings, its search, what its models are told (texts.py), its judge."""

from derta.attacks.pair.attack import Pair

__all__ = ["Pair"]
