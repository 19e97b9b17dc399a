"""Images: headers, bounded decoding, preprocessing, crops, perturbations."""
