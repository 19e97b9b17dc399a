"""Complete a variant's bundle: the model card, an example that runs it, and checksums of all files."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import pandas as pd

from detector.core import job, parquet
from detector.core.files import read_json, replacing, sha256
from detector.experiment.formats import EXPORTED, FILES
from detector.export import card
from detector.stats import predictions


def main(args: argparse.Namespace) -> None:
    export, table, sources = read_json(args.facts), pd.read_csv(args.table), json.loads(args.sources)
    own = (
        (table["arch"] == export["arch"])
        & (table["seed"] == export["seed"])
        & (table["branch"] == export["branch"])
    )
    who = f"{export['arch']}, seed {export['seed']}, {export['branch']}"
    tests = {
        precision: {name: predictions.load(folder / f"{name}.parquet") for name in args.sets}
        for precision, folder in (("fp32", args.predictions), ("int8", args.int8))
        if folder is not None
    }
    predictions.check({f"{who}, {precision}": sets for precision, sets in tests.items()})
    text = card.text(
        card.Facts(
            export=export,
            meta=read_json(args.meta),
            manifest=parquet.read(args.manifest),
            sources={name: sources[name] for name in args.sets},
            deployment=table[own],
            tests=tests,
            runtime=args.runtime,
            onnx=newest([args.folder / FILES[name] for name in args.formats if FILES[name].endswith(".onnx")]),
            sizes={name: (args.folder / FILES[name]).stat().st_size for name in args.formats},
        ),
        args.template.read_text(),
    )
    write(args.folder / "card.md", text)
    write(args.folder / "example.py", args.example.read_text())
    names = sorted(["card.md", "example.py", *(FILES[name] for name in args.formats)])
    write(args.folder / "SHA256SUMS", "".join(f"{sha256(args.folder / name)}  {name}\n" for name in names))


def newest(paths: Sequence[Path]) -> tuple[int, int]:
    """The highest IR version and opset of these ONNX files."""
    models = [onnx.load_model(path, load_external_data=False) for path in paths]
    opsets = [one.version for model in models for one in model.opset_import if one.domain in ("", "ai.onnx")]
    return max(model.ir_version for model in models), max(opsets)


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, required=True, help="export.json of the variant")
    parser.add_argument("--meta", type=Path, required=True, help="meta.json of the variant")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--table", type=Path, required=True, help="deployment.csv")
    parser.add_argument("--predictions", type=Path, required=True, help="folder of the logits of torch")
    parser.add_argument("--formats", nargs="+", required=True, choices=EXPORTED, help="exported files")
    parser.add_argument("--int8", type=Path, help="folder of the logits of the int8 file, if there is one")
    parser.add_argument("--runtime", required=True, help="that gave them")
    parser.add_argument("--sets", nargs="+", required=True, help="sources, in the order of the tables")
    parser.add_argument("--sources", required=True, help="JSON: type and split of each source")
    parser.add_argument("--template", type=Path, required=True, help="Markdown of the card, with names to fill in")
    parser.add_argument("--example", type=Path, required=True, help="the program to copy")
    parser.add_argument("--folder", type=Path, required=True, help="the bundle, which holds the exported files")
    job.run(main, parser)
