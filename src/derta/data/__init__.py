"""From public data to clean triples: sources, filters, duplicates, leakage, draws, safe responses, the card."""
