"""Encode: from conversations to rows of ids with their supervision lists."""
