"""Tables of results as CSV: one module each, or a few of one kind. No torch."""
