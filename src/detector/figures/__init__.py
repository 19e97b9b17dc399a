"""Figures of results: one module per figure, with its name. No torch."""
