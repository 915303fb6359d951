"""PAIR: the attack (attack.py), its search (search.py), what its models are told (texts.py), its judge (judge.py)."""

from derta.attacks.pair.attack import Pair

__all__ = ["Pair"]
