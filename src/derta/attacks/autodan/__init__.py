"""AutoDAN: the attack (attack.py), its search (search.py), the genetics, the words, the state between two steps."""

from derta.attacks.autodan.attack import AutoDan

__all__ = ["AutoDan"]
