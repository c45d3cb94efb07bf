"""Which Plan is tried next, and which trials no other one beats."""
