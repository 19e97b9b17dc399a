"""Training: the loop, the search, resume states, several GPUs."""
