"""What a Plan costs and does, as numbers and arrays: cost, latency, activations. A model lives inside one call."""
