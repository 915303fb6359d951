"""Results: reading result files, and the cells made of them."""
