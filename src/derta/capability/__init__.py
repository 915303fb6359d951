"""Ordinary skills kept? GSM8K and MMLU through the lm-evaluation-harness, offline, from the user's files."""
