"""Metrics at a cut: one module each, found by its name."""
