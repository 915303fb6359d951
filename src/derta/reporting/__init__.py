"""Files of a run in, one self-contained page out: `collect` -> `cells` -> `tables`, `figures` -> `page`."""
