"""Tables of results as CSV: one module per table, with its name. No torch."""
