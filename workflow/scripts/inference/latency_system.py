"""Time one pass of a system, a classifier on features or a mean of networks, as networks are timed."""

import argparse
import json
from pathlib import Path

import pandas as pd

from detector.core import job, tabular
from detector.experiment.systems import network
from detector.experiment.variants import BASELINE
from detector.models import checkpoints, devices, features, latency, networks, systems


def main(args: argparse.Namespace) -> None:
    settings = json.loads(args.config)
    how, size = settings["system"], settings["size"]
    # Spectra are computed on the CPU, wherever networks are.
    device = "cpu" if network(how) is None else settings["device"]
    plan = devices.plan(device, "fp32", args.threads, size, alone=True)
    if (named := how.get("mean_of")) is not None:
        weights = map(checkpoints.load_weights, args.models)
        judging = systems.Mean([networks.load(named, each, size) for each in weights])
    else:
        judging = systems.Classified(*features.fitted(args.models[0], args.network, size))
    rows = latency.measure(
        {BASELINE: judging},
        size,
        **settings["latency"],
        device=plan.torch_device,
        threads=args.threads,
        looks=settings["looks"],
    )
    tabular.write_table(pd.DataFrame(rows, columns=latency.columns(settings["looks"])), args.latency)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="the classifier, or each network")
    parser.add_argument("--network", type=Path, help="file of the weights that features are taken from")
    parser.add_argument(
        "--config", required=True, help="JSON: section latency, system, image size, device and looks"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--latency", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
