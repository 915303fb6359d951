"""From a model folder to a first run: benign pairs of its own, recipes that fit it."""
