"""What a training run shows while it goes, and when it stops: mix of labels, probe, its rules, log file."""
