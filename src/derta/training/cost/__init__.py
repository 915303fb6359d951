"""What a run will cost: parameters, memory, time."""
