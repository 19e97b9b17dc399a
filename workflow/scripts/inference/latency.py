"""Time one forward pass of every branch of an architecture and seed, interleaved in one run."""

import argparse
import json
from pathlib import Path

import pandas as pd

from detector.core import job, tabular
from detector.models import checkpoints, devices, latency, networks


def main(args: argparse.Namespace) -> None:
    settings = json.loads(args.config)
    plan = devices.plan(settings["device"], "fp32", args.threads, settings["size"], alone=True)
    rows = latency.measure(
        {
            name: networks.load(args.arch, checkpoints.load_weights(path), settings["size"])
            for name, path in args.models
        },
        settings["size"],
        **settings["latency"],
        device=plan.torch_device,
        threads=args.threads,
        looks=settings["looks"],
    )
    tabular.write_table(pd.DataFrame(rows, columns=latency.columns(settings["looks"])), args.latency)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument("--models", type=job.pair, nargs="+", required=True, help="BRANCH=model.safetensors")
    parser.add_argument("--config", required=True, help="JSON: section latency, image size, device and looks")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--latency", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
