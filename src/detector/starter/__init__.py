"""Folders to a bundle in one command, new or adapted: the overlay, the plan, the run and what came of it."""
