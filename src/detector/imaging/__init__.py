"""Imaging: headers, bounded decoding, preprocessing, crops, perturbations."""
