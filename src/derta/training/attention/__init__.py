"""Who sees whom in a packed line, and which architectures can be told."""
