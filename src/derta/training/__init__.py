"""Train: plan micro-batches, pack rows, compute the loss on supervised positions, keep checkpoints."""
