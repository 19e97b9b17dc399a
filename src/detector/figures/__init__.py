"""Figures of results: one module each. No torch."""
