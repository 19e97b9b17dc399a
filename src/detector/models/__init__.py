"""Models: networks by name, devices, batches, inference."""
