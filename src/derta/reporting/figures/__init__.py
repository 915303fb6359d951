"""Figures: drawn without a display, the same bytes for the same numbers."""
