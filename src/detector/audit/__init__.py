"""Audit of data: copies in several splits, and what metadata alone reach."""
