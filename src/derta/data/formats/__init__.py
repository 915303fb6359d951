"""Reading sources: containers, schemas, items."""
