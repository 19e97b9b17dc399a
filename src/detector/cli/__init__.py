"""Commands of `detector`."""
