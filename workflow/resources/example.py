"""Is a picture real or AI-generated?  pip install onnxruntime numpy pillow

python example.py [model.int8.onnx] PICTURE …     without a model: model.onnx beside this file
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels(path: str, size: int) -> np.ndarray:
    """uint8 (1, size, size, 3), made as the training images were."""
    image = ImageOps.exif_transpose(Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")))
    if image.mode.startswith("I"):  # grey of 16 bits
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:  # over white
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))[None]


given = sys.argv[1:]
model = given.pop(0) if given and given[0].endswith(".onnx") else __file__.replace("example.py", "model.onnx")
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
for path in given:
    logit = float(session.run(None, {"image": pixels(path, int(facts["image_size"]))})[0][0])
    # The same as 1 / (1 + exp(-logit / temperature)), whose exp can be too large.
    real = (1 + np.tanh(logit / float(facts["temperature"]) / 2)) / 2
    print(f"{path}: {'real' if logit >= 0 else 'fake'}, P(real) {real:.4f}, logit {logit:.6f}")
