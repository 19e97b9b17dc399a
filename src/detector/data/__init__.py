"""Data: kinds of sources, scans, splits, the manifest, packed stores."""
