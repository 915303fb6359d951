"""AutoDAN: the attack (attack.py), its settings, its search, the genetics, the words, the state between steps."""

from derta.attacks.autodan.attack import AutoDan

__all__ = ["AutoDan"]
