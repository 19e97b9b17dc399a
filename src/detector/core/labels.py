"""Labels and splits: 1 = real, 0 = fake, and their names in tables and texts."""

REAL, FAKE = 1, 0
CLASSES = {REAL: "real", FAKE: "fake"}  # in tables and texts
SPLIT_NAMES = ("train", "valid", "test")
