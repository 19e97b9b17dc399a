"""Pruning methods: one module each, found by its name."""
