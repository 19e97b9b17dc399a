"""Train, compress and evaluate detectors of AI-generated images. Knows nothing of Snakemake."""
