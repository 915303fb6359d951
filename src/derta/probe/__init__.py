"""Probe: white-box measurements on a local model."""
