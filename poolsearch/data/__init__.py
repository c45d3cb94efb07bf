"""What can be learned from, and what can be looked at: embedded data sets and pictures."""
