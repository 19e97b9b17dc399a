"""Train, compress and evaluate detectors of AI-generated images. Knows nothing of Snakemake."""

import os

# From 1.29 on ONNX Runtime tells its maker of each model that is loaded, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
