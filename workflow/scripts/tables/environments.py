"""Build environments.csv: libraries, device and commit of each variant; warns, or fails, where they differ."""

import argparse
import logging
from pathlib import Path

from detector.core import job, tabular
from detector.core.errors import DetectorError, listing
from detector.core.files import read_json
from detector.experiment.variants import Variant
from detector.tables import environments

FILES = {
    "trained": "meta.json",
    "fitted": "meta.json",
    "predicted": "predictions/provenance.json",
    "exported": "export.json",
    "predicted_exported": "exported/provenance.json",
}


def main(args: argparse.Namespace) -> None:
    folders = {"trained": args.trained, "fitted": args.fitted, "predicted": args.predicted}
    folders |= {"exported": args.exported, "predicted_exported": args.exported}
    noted = {
        (_kept_out(folder), Variant.of(folder), stage): read_json(folder / FILES[stage])
        for stage, of in folders.items()
        for folder in of
    }
    rows = environments.environments(noted)
    if found := environments.mixed(rows):
        text = f"not all variants were computed with the same libraries and arithmetic:\n{listing(found)}"
        remedy = "delete the results of those that differ, or set statistics.on_mixed: warn"
        if args.on_mixed == "fail":
            raise DetectorError(f"{text}\nTo compare like with like, {remedy}.")
        logging.warning("%s", text)
    tabular.write_csv(rows, environments.COLUMNS, args.output)


def _kept_out(folder: Path) -> str:
    """Name of a protocol's network, by the folder protocols/{name}/runs/… of a variant; "" in the plain run."""
    above, name = folder.absolute().parts[-6:-4]
    return name if above == "protocols" else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, nargs="+", required=True, help="folders of networks")
    parser.add_argument("--fitted", type=Path, nargs="*", default=[], help="folders of classifiers on features")
    parser.add_argument("--predicted", type=Path, nargs="+", required=True, help="folders of all variants")
    parser.add_argument("--exported", type=Path, nargs="*", default=[], help="folders of those that are exported")
    parser.add_argument(
        "--on-mixed", choices=("warn", "fail"), required=True, help="what to do where they are mixed"
    )
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
