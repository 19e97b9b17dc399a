"""Kinds of steps of perturbations: one module each, found by its name."""
