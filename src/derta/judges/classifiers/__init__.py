"""Local models as judges: loading, their prompts, how their words and scores become verdicts."""
