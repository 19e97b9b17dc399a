"""Labels and splits: 1 = real, 0 = fake, and their names in tables and texts."""

REAL, FAKE = 1, 0
CLASSES = {REAL: "real", FAKE: "fake"}  # in tables and texts
SPLIT_NAMES = ("train", "valid", "test")
# What people call them, in small letters: names of folders, words in lists.
CLASS_WORDS = {"real": REAL, "nature": REAL, "fake": FAKE, "ai": FAKE}
SPLIT_WORDS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
