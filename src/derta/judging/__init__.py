"""Judging: work on result files, by judges and by people."""
