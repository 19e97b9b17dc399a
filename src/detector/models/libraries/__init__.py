"""Libraries of networks: one module each, found by its name."""
