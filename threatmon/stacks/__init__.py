"""One stack: its file, its outputs, its engine, its account."""
