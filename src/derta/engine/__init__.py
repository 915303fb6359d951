"""Engine: decoding and scoring of a local model."""
