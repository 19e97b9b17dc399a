"""Pruning of weights and of channels."""
