"""Prediction: verdicts of a bundle about any image. No torch."""
