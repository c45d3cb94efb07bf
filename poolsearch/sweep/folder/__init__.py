"""The folder of a sweep: its files, its lease, its place in the queue, the commands in it."""
