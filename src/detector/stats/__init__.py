"""Statistics of saved logits: metrics, intervals, calibration, tests."""
