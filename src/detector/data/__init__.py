"""Data: sources, scans, splits, the manifest, the packed stores."""
