"""Training: the loop, hyperparameter search, resume states, several GPUs."""
