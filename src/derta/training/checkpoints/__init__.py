"""What a run keeps: checkpoints, the published folder, its card."""
