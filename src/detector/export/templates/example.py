"""Is a picture real or AI-generated?  pip install onnxruntime numpy pillow     (card.md: how new)

python example.py [model.int8.onnx] PICTURE …     without a model: model.onnx beside this file
"""

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: else it tells its maker of each model
import onnxruntime
from PIL import Image, ImageChops, ImageOps


def drawn(content: bytes, what: str, count: int) -> int:
    """A number below `count` that depends on the file alone."""
    name = f"{what}:{hashlib.sha256(content).hexdigest()}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count


def pixels(path: str, seen: int, how: dict) -> np.ndarray:
    """uint8 (n, seen, seen, 3), made as the training images were; `how`: what the model file says of that."""
    content, size = Path(path).read_bytes(), how["size"]
    image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # grey of 16 bits
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:  # over white
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if levels := how.get("ela"):  # what compressing it once more changes, the largest as 255
        image.save(file := io.BytesIO(), "JPEG", quality=levels["quality"], subsampling="4:2:0")
        image = ImageChops.difference(image, Image.open(file).convert("RGB"))
        largest = int(np.asarray(image).max()) or 1
        image = image.point([round(255 * min(level, largest) / largest) for level in range(256)] * 3)
    if how.get("resize_to"):  # the shorter side
        scaled = (round(side * how["resize_to"] / min(image.size)) for side in image.size)
        image = image.resize(tuple(scaled), Image.Resampling.BILINEAR)
    side, way, start = min(size, *image.size), how.get("preprocess"), (size - seen) // 2
    rest = (image.width - side, image.height - side)
    if way == "texture_crop":
        sys.exit("This model wants the window of the richest texture, which is beyond this example.")
    if way in ("center_crop", "random_crop"):
        left, top = (n // 2 for n in rest)
        if way == "random_crop":
            left, top = drawn(content, "left", rest[0] + 1), drawn(content, "top", rest[1] + 1)
        image = image.crop((left, top, left + side, top + side))
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    if again := how.get("recompress"):
        low, high = again["quality"]
        quality, file = low + drawn(content, "quality", high - low + 1), io.BytesIO()
        image.save(file, again["format"], quality=quality, subsampling=again["subsampling"])
        image = Image.open(file).convert("RGB")
    if not (looks := how.get("looks")):  # the network may see the middle alone
        return np.asarray(image)[None, start : start + seen, start : start + seen]
    windows, across = [], round(looks["crops"] ** 0.5)  # or windows on a grid from edge to edge
    for side in looks["sizes"]:
        steps = range(across) if across > 1 else [0.5]
        places = [int((size - side) * step // max(1, across - 1)) for step in steps]
        windows += [(left, top, left + side, top + side) for top in places for left in places]
    cut = [image.crop(window).resize((seen, seen), Image.Resampling.BILINEAR) for window in dict.fromkeys(windows)]
    return np.stack([np.asarray(picture) for picture in cut])


given = sys.argv[1:]
model = given.pop(0) if given and given[0].endswith(".onnx") else __file__.replace("example.py", "model.onnx")
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
how = next(iter(json.loads(facts["preprocessing"]).values()))  # sources differ in face crops alone, see card.md
for path in given:
    pictures = pixels(path, int(facts["image_size"]), how)
    logit = float(np.mean(session.run(None, {"image": pictures})[0], dtype=np.float64))
    # The same as 1 / (1 + exp(-logit / temperature)), whose exp can be too large.
    real = (1 + np.tanh(logit / float(facts["temperature"]) / 2)) / 2
    print(
        f"{path}: {'real' if logit >= 0 else 'fake' if logit < 0 else 'no number'}, "
        f"P(real) {real:.4f}, logit {logit:.6f}"
    )
