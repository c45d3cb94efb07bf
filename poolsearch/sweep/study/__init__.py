"""A study as it is kept: read, written, compared with a config."""
