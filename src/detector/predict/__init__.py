"""Prediction: verdicts of a bundle on any image. No torch."""
