"""Mask upkeep per training step: our masks against `torch.nn.utils.prune`.

Theirs computes each weight anew before the forward pass and sends its gradient through the mask. Ours multiplies
the weights by their masks after the optimizer's step. Only this upkeep is timed, not the network.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks import common, naive
from detector.models import networks
from detector.pruning import masks

TIME_TARGET, MEMORY_TARGET = 1 / 3, 1 / 5


def reparametrised(args: argparse.Namespace) -> tuple[nn.Module, list[nn.Module]]:
    model = naive.pruned(naive.make_model(args.arch), args.sparsity)
    return model, [module for module, _ in naive.prunable(model)]


def theirs(args: argparse.Namespace) -> Callable[[], float]:
    torch.set_num_threads(args.threads)
    _, layers = reparametrised(args)
    gradients = [torch.randn_like(layer.weight) for layer in layers]

    def run() -> float:
        for layer in layers:
            layer.weight_orig.grad = None
        started = time.perf_counter()
        for layer in layers:
            for hook in layer._forward_pre_hooks.values():
                hook(layer, None)
        torch.autograd.backward([layer.weight for layer in layers], gradients)
        return time.perf_counter() - started

    return run


def ours(args: argparse.Namespace) -> Callable[[], float]:
    plan = networks.training_plan(args.arch, "cpu", "auto", args.threads, args.size)
    weights = networks.prunable(plan.place(networks.build(args.arch)))
    kept = masks.like(weights, masks.global_l1(weights, args.sparsity))

    def run() -> float:
        started = time.perf_counter()
        masks.apply(weights, kept)
        return time.perf_counter() - started

    return run


def main(args: argparse.Namespace) -> None:
    sides = {"theirs": common.Side(theirs, args), "ours": common.Side(ours, args)}
    seconds = common.interleave(sides, args.repeats, warmup=3)
    value, text = common.ratio(seconds["ours"], seconds["theirs"])
    _, layers = reparametrised(args)
    # beside the weights and their gradients: masks and computed weights, and at the peak of the backward pass
    # the gradients of the computed weights
    dense = sum(layer.weight.nbytes for layer in layers)
    held = sum(layer.weight_mask.nbytes for layer in layers) + dense
    weights = networks.prunable(networks.build(args.arch))
    own = sum(mask.nbytes for mask in masks.like(weights, masks.global_l1(weights, args.sparsity)))
    memory = own / held
    print(f"## Masks: {args.arch}, {args.sparsity:.0%} pruned, {args.threads} thread(s)\n")
    print(
        common.table(
            ("upkeep of a step", "reparametrisation", "ours", "ratio", "target (one of the two)"),
            [
                (
                    "milliseconds",
                    common.spread(seconds["theirs"], 1000),
                    common.spread(seconds["ours"], 1000),
                    text,
                    f"≤ 1/3: {common.verdict(value <= TIME_TARGET)}",
                ),
                (
                    "MiB held beside weights and gradients",
                    f"{held / 2**20:.0f}",
                    f"{own / 2**20:.0f}",
                    f"{memory:.2f}",
                    f"≤ 1/5: {common.verdict(memory <= MEMORY_TARGET)}",
                ),
            ],
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--sparsity", type=float, default=0.4)
    parser.add_argument("--size", type=int, default=224, help="of the images, which decides on the layout")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=31)
    main(parser.parse_args())
