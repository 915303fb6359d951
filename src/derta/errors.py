"""What can go wrong that a user can mend.

    DertaError               one clear line, exit code 1, no traceback
      DataError              a data file: `file:line: reason`
      RecipeError            a recipe: `file: field: found, needed`
      TokenizerError         a tokenizer or chat template that training or evaluation can't use safely
      ModelError             a model folder or architecture that can't be loaded or computed exactly
      RunError               a run folder: locked, damaged, or started with other settings
      HarmfulTargetError     a row or batch that would teach harmful text; always stops the run

What only *we* could have broken is an `assert`, and shows its traceback.
"""


class DertaError(Exception):
    """Base of all errors that the user can mend; its text is the whole message shown."""


class DataError(DertaError):
    """A data file holds something we can't use."""


class RecipeError(DertaError):
    """A recipe names an unknown key, a wrong type, or values that contradict each other."""


class TokenizerError(DertaError):
    """A tokenizer or chat template can't render what is asked without guessing."""


class ModelError(DertaError):
    """A model can't be loaded, or its architecture can't be computed exactly."""


class RunError(DertaError):
    """A run folder is locked, damaged or was started with other settings."""


class HarmfulTargetError(DertaError):
    """A supervised target inside a harmful response is not the refusal token (docs/method.md, "Labels")."""
