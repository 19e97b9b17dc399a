"""`detector …`: what people type. The pipeline itself is run by Snakemake."""

import argparse
from pathlib import Path

from detector import entry


def main() -> None:
    parser = argparse.ArgumentParser(prog="detector", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo-data", help="make the demo's images: no download, no photographs")
    demo.add_argument("root", type=Path, help="folder to make")
    demo.add_argument("--seed", type=int, default=0, help="another seed, other images")
    demo.add_argument("--scale", type=float, default=1.0, help="share of the demo's size")
    demo.set_defaults(command=demo_data)

    show = commands.add_parser("summary", help="print the main tables of a results folder")
    show.add_argument("results", type=Path, nargs="?", default=Path("results"), help="default: results")
    show.set_defaults(command=summary)

    entry.run(lambda args: args.command(args), parser)


def demo_data(args: argparse.Namespace) -> None:
    # imported here: `detector summary` need not wait for what this needs
    from detector.demo import make_demo

    make_demo(args.root, seed=args.seed, scale=args.scale)


def summary(args: argparse.Namespace) -> None:
    from detector.summary import text

    print(text(args.results))


if __name__ == "__main__":
    main()
