"""A sweep at work: from the checks before it to its last status."""
