"""Experiment: the validated config, its branches and variants, the files of a variant."""
