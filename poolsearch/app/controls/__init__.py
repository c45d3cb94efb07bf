"""Controls that return values, and the cached calls of the pages."""
