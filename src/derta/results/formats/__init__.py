"""Other people's files and ours: one file a format, each knows all about itself."""
