"""Training, compression and evaluation of detectors of AI-generated images.

The library knows nothing of Snakemake; the workflow calls it through `workflow/scripts/`.
"""

import os

# From 1.29 on ONNX Runtime tells its maker of each model that is loaded, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
