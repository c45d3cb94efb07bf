"""The views of the page Sweeps."""
