"""The trained refusal as a streaming stop: its hazard at each step, a rule, a calibration (docs/guard.md)."""
