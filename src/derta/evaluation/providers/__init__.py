"""The models under test as Inspect sees them: computed here, served, or closed."""
