"""Export: ONNX, int8, sparse files, runtimes, the model card."""
