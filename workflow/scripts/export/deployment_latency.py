"""Time one pass of each file of each variant in each runtime, on a CPU, interleaved in one run."""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from detector.core import job, machine, tabular
from detector.experiment.formats import EXPORTED, KEY, LATENCY_COLUMNS, TRAINED, file
from detector.export import runtimes
from detector.models import checkpoints, latency, networks, sparse


def main(args: argparse.Namespace) -> None:
    settings = json.loads(args.config)
    torch.set_num_threads(args.threads)
    size, device = settings["size"], torch.device("cpu")
    passes = {}
    for branch, folder in ((branch, Path(model).parent) for branch, model in args.models):
        for name in (TRAINED, *args.formats):
            kind, precision = name.split("-")
            path = file(folder, name)
            # each model is loaded once, for all batch sizes
            if kind == "onnx":
                models_of = {r: runtimes.load(path, r, args.threads) for r in settings["runtimes"]}
            else:
                weights = checkpoints.load_weights(path) if name == TRAINED else sparse.load(path)[0]
                models_of = {"torch": networks.load(args.arch, weights, size)}
            for batch in settings["batch_sizes"]:
                images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
                for runtime, model in models_of.items():
                    key = (branch, kind, runtime, precision, batch)
                    if runtime == "torch":
                        passes[key] = latency.eager(model, size, batch, device)
                    else:
                        passes[key] = partial(model, images)
    name, flags = machine.cpu()
    rows = [
        {**dict(zip(KEY, key, strict=True)), **times, "threads": args.threads, "device": name, "cpu_flags": flags}
        for key, times in latency.interleaved(passes, **settings["latency"]).items()
    ]
    tabular.write_table(pd.DataFrame(rows, columns=LATENCY_COLUMNS), args.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, help="architecture, such as resnet50")
    parser.add_argument(
        "--models", type=job.pair, nargs="+", required=True, help="BRANCH=model.safetensors, bundle/ beside it"
    )
    parser.add_argument("--formats", nargs="+", required=True, choices=EXPORTED, help="exported files to time")
    parser.add_argument("--config", required=True, help="JSON: size, runtimes, batch_sizes, warmup and rounds")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each runtime")
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    job.run(main, parser)
