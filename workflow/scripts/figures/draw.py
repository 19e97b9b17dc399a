"""Draw a figure whose module declares what it is drawn from (detector.figures.discovery)."""

import argparse
import importlib
import json
from pathlib import Path

import pandas as pd

from detector.core import job
from detector.core.files import read_json
from detector.stats import predictions

READERS = {".csv": pd.read_csv, ".parquet": predictions.load, ".json": read_json}


def main(args: argparse.Namespace) -> None:
    figure = importlib.import_module(f"detector.figures.{args.figure}")
    found = read(json.loads(args.inputs))
    for path, of in json.loads(args.outputs).items():
        figure.draw(Path(path), **found, **of)


def read(inputs: str | dict) -> object:
    """The content of a file, or of each in a dictionary of files."""
    if isinstance(inputs, str):
        return READERS[Path(inputs).suffix](inputs)
    return {name: read(part) for name, part in inputs.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, help="name of the module")
    parser.add_argument("--inputs", required=True, help="JSON: files by parameter, in dictionaries where several")
    parser.add_argument("--outputs", required=True, help="JSON: by figure to write (.svg, .png), what it is of")
    job.run(main, parser)
