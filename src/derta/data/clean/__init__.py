"""What stays: filters, refusals, duplicates, leaks."""
