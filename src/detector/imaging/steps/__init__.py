"""Perturbation steps: one module per kind, found by its name."""
