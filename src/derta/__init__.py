"""Decoupled Refusal Training (arXiv 2407.09121) for any causal language model, and the proof that it worked."""

__version__ = "0.1.0"
