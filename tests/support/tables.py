"""Small predictions to build tables of, and tables as they are read again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from detector.core import tabular
from tests.support import ROOT

PAPER = yaml.safe_load((ROOT / "workflow/resources/paper.yaml").read_text())


def images(source, n, seed, generators=("gan", "diffusion"), real=True):
    """n labelled images: every second one real, unless `real` is false; fakes by each generator in turn."""
    label = np.arange(n) % 2 if real else np.zeros(n, int)
    makers = [generators[i // 2 % len(generators)] if kind == 0 else "" for i, kind in enumerate(label)]
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(n)],
            "source": source,
            "generator": makers,
            "group": "",
            "label": label,
            "logit": rng.normal(np.where(label == 1, 1.2, -0.8), 1.5).astype(np.float32),
        }
    )


def scored(label: Sequence[int], logit: Sequence[float]) -> pd.DataFrame:
    """Images with these labels and logits."""
    paths = [f"{i}.png" for i in range(len(label))]
    return pd.DataFrame({"source": "some", "path": paths, "group": "", "label": label, "logit": logit})


def written(rows: Sequence[dict], columns: Sequence[str], folder: Path) -> pd.DataFrame:
    """The rows as a CSV that was read again; it has these columns, and every key of a row is one of them, but for
    counts that some tables leave out."""
    assert {name for row in rows for name in row} - set(columns) <= {"tp", "fp", "tn", "fn"}
    tabular.write_csv(rows, columns, folder / "table.csv")
    assert (folder / "table.csv").read_text().splitlines()[0].split(",") == list(columns)
    return pd.read_csv(folder / "table.csv", dtype={"threshold": str})
