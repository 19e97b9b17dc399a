"""Experiments: the checked config, its branches and variants, the files of a variant."""
