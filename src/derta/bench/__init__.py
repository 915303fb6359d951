"""The bench: methods x attacks x seeds on the fictional world, from one recipe (docs/bench.md)."""
