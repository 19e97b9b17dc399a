"""Data audit: duplicates across splits, and what metadata alone reveal of the class."""
