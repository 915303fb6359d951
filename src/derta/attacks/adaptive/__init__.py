"""Attacks made against models that may refuse anywhere."""
