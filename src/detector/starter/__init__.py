"""Two folders to a bundle in one command: the overlay, the plan, the run and what came of it."""
