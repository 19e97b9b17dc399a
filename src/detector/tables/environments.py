"""environments.csv: libraries, device and commit with which each variant was computed."""

from collections.abc import Mapping

from detector.experiment.variants import Variant

# The libraries that shape what a stage computes; another version of one of the others changes no number.
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "trained": ("torch", "torchvision", "numpy"),
    "fitted": ("scikit-learn", "torch", "torchvision", "numpy"),
    "predicted": ("torch", "torchvision", "numpy"),
    "exported": ("torch", "onnx", "onnxruntime", "numpy"),
    "predicted_exported": ("onnxruntime", "openvino", "torch", "numpy"),
}
COLUMNS = (
    *("arch", "seed", "branch", "kept_out", "stage", "differs", "python", "device", "precision"),
    *dict.fromkeys(name for names in LIBRARIES.values() for name in names),
    *("git_commit", "dirty"),
)


def environments(noted: Mapping[tuple[str, Variant, str], Mapping]) -> list[dict]:
    """Rows of environments.csv: one for each variant and stage, in the order of `noted`.

    `noted`: what a stage (a key of `LIBRARIES`) kept of `provenance.record`, and `plan` (device, precision) where
    a network ran, by what a protocol kept out of its training ("": the plain run), variant and stage. `differs`
    names what is not as it was for the first variant that has the stage; it is empty where nothing is.
    """
    rows: list[dict] = []
    first: dict[str, tuple[Variant, dict[str, str]]] = {}
    for (kept_out, variant, stage), record in noted.items():
        shaping = _shaping(stage, record)
        reference, expected = first.setdefault(stage, (variant, shaping))
        differing = [
            f"{name} {shaping[name] or 'none'} (that of {reference.branch}: {expected[name] or 'none'})"
            for name in shaping
            if shaping[name] != expected[name]
        ]
        rows.append(
            {
                **{"arch": variant.arch, "seed": variant.seed, "branch": variant.branch},
                **{"kept_out": kept_out, "stage": stage},
                **{"differs": "; ".join(differing), **shaping, "python": record["python"]},
                **{"git_commit": record["git_commit"], "dirty": record.get("dirty")},
            }
        )
    return rows


def mixed(rows: list[dict]) -> list[str]:
    """A sentence for each row that differs from the first of its stage."""
    return [
        f"{row['arch']} seed {row['seed']} {row['branch']}"
        + (f" of the protocol's {row['kept_out']}" if row.get("kept_out") else "")
        + f": {row['stage']} with {row['differs']}"
        for row in rows
        if row["differs"]
    ]


def _shaping(stage: str, record: Mapping) -> dict[str, str]:
    plan, libraries = record.get("plan", {}), record["libraries"]
    return {
        "python": ".".join(record["python"].split(".")[:2]),
        **{name: plan.get(name, "") for name in ("device", "precision")},
        **{name: libraries.get(name, "") for name in LIBRARIES[stage]},
    }
