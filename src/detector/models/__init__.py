"""Networks: by name, on a device, over batches."""
