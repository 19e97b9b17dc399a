"""Demo data: synthetic images in the official layouts."""
