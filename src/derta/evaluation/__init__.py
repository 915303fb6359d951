"""Evaluate: models x attacks, generated, judged and recorded."""
