"""Pruning: masks of single weights, removal of channels."""
