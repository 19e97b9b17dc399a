"""Command line of `detector`: trains, judges images, reports on runs. Snakemake runs the pipeline."""

import argparse
import importlib.metadata
import logging
import os
import sys
from pathlib import Path

from detector.core import extras, job, signals
from detector.core.errors import DetectorError
from detector.core.labels import SPLIT_NAMES


def main() -> None:
    """Run the subcommand that the command line names, and exit (`job.run`)."""
    job.run(lambda args: args.command(args), command_line())


def command_line() -> argparse.ArgumentParser:
    """Parser of all subcommands; the function of the one that was given is `command` in what it parses."""
    parser = argparse.ArgumentParser(prog="detector", description=__doc__)
    parser.add_argument("--version", action="version", version=f"detector {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo-data", help="make the demo's images: no download, no photographs")
    demo.add_argument("root", type=Path, help="folder to make")
    demo.add_argument("--seed", type=int, default=0, help="another seed, other images")
    demo.add_argument("--scale", type=float, default=1.0, help="share of the demo's size")
    demo.set_defaults(command=demo_data)

    teach = commands.add_parser(
        "train",
        help="train a detector from two folders of images, and bundle it, in one command",
        epilog="It writes DIR/config.yaml, an overlay on config.yaml, and runs the pipeline with it; edit it and "
        "give the same command again to change anything. Exit code: 0; 1 where a stage failed; 2 for wrong "
        "input; 130 after Ctrl-C: the same command goes on from there.",
    )
    teach.add_argument("real", type=Path, metavar="REAL_DIR", help="folder of photographs")
    teach.add_argument(
        "fake", type=Path, metavar="FAKE_DIR", help="folder of generated images, by generator if known"
    )
    teach.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the settings and all results"
    )
    teach.add_argument(
        "--start",
        metavar="WHAT",
        help="pretrained (default), NETWORK for one from scratch, NETWORK@pretrained, or NETWORK@FILE of weights",
    )
    teach.add_argument("--minutes", type=_above_zero, metavar="M", help="that all of it may take on this machine")
    teach.add_argument("--plan", action="store_true", help="say what it would do and take, and start nothing")
    teach.set_defaults(command=train)

    more = commands.add_parser(
        "adapt",
        help="teach a bundle a new generator from a few images, and say what it gained and forgot",
        epilog="It writes DIR/config.yaml, an overlay on config.yaml, and runs the pipeline with it. Exit code: "
        "0; 1 where a stage failed; 2 for wrong input; 130 after Ctrl-C: the same command goes on from there.",
    )
    more.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle to adapt")
    more.add_argument("--run", type=Path, required=True, metavar="RESULTS", help="of the run that made the bundle")
    more.add_argument(
        "--fake", type=Path, required=True, metavar="FOLDER", help="of 1 to 100 images of the new generator"
    )
    more.add_argument("--real", type=Path, metavar="FOLDER", help="of photographs that belong to them")
    more.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new bundle and tables")
    more.add_argument("--plan", action="store_true", help="say what it would do and take, and start nothing")
    more.set_defaults(command=adapt)

    show = commands.add_parser("summary", help="print the main tables of a results folder")
    show.add_argument("results", type=Path, nargs="?", default=Path("results"), help="default: results")
    show.add_argument("--brief", action="store_true", help="three results and one command that goes on from there")
    show.set_defaults(command=summary)

    wipe = commands.add_parser("clean", help="delete what can be made again of a results folder; asks first")
    wipe.add_argument("results", type=Path, help="folder of results, such as results/demo")
    wipe.add_argument("--pixels", action="store_true", help="the packed images too; says what that means")
    wipe.add_argument("--yes", action="store_true", help="do not ask")
    wipe.set_defaults(command=clean)

    ask = commands.add_parser(
        "predict",
        help="say of images and videos whether they are real or AI-generated",
        epilog="Exit code: 0; 1 where an image could not be read (its row says why, the others are judged); 2 for "
        "a wrong option, a model that cannot be used, or no image at all; 130 after Ctrl-C, with the rows "
        "that were finished.",
    )
    ask.add_argument("paths", nargs="+", metavar="PATH", help="file, folder, 'pattern*', or - for paths on stdin")
    ask.add_argument("--model", type=Path, metavar="BUNDLE", help="or an ONNX file in one; default: the newest")
    ask.add_argument("--format", choices=("table", "json", "csv"), default="table", help="default: table")
    ask.add_argument("--explain", type=Path, metavar="DIR", help="also save where each verdict comes from")
    ask.add_argument("--fast", action="store_true", help="leave out the look at changed copies of each image")
    ask.add_argument("--batch", type=_positive, default=16, help="pictures a pass; default: 16")
    ask.add_argument("--threads", type=_positive, default=0, help="default: all cores")
    ask.add_argument("--source", help="treat images as those of this training source, where these differ")
    ask.add_argument(
        "--frames", type=_positive, metavar="K", help="of a video; default: as many as the model's pipeline took"
    )
    ask.set_defaults(command=predict)

    judge = commands.add_parser(
        "evaluate",
        help="compare detectors, ours and those of others, on labelled images",
        epilog="Exit code: 0; 1 where an image or a model gave no score (errors.csv and the page say why); 2 for "
        "wrong input; 130 after Ctrl-C: the same command goes on from there.",
    )
    judge.add_argument(
        "data", metavar="DATA", help="folder (real/, fake/), list (CSV, Parquet) or source of the config"
    )
    judge.add_argument(
        "--model",
        action="append",
        required=True,
        help="a bundle or its ONNX file, python:PACKAGE.MODULE:FUNCTION[:batch], command:PROGRAM or "
        "scores:FILE.csv; then ,threshold=NUMBER and ,name=NAME if you like; repeatable",
    )
    judge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for tables, figures and the page"
    )
    judge.add_argument("--split", choices=SPLIT_NAMES, help="evaluate on this split alone")
    judge.add_argument(
        "--calibrate", type=_share, default=0.0, metavar="SHARE", help="of images to choose cuts on"
    )
    judge.add_argument(
        "--perturb", action="append", default=[], metavar="NAME", help="or scale=0.5+jpeg=75; repeatable"
    )
    judge.add_argument("--config", type=Path, action="append", default=[], help="an overlay on config.yaml")
    judge.add_argument("--time-limit", type=_positive, default=60, metavar="S", help="per image; default: 60")
    judge.add_argument("--start-limit", type=_positive, default=300, metavar="S", help="of a start; default: 300")
    judge.add_argument("--threads", type=_positive, default=0, help="of a bundle; default: all cores")
    judge.set_defaults(command=evaluate)

    look = commands.add_parser(
        "doctor", help="say what is installed, which data and bundles are there, what is next"
    )
    look.add_argument("--config", type=Path, action="append", default=[], help="an overlay on config.yaml")
    look.set_defaults(command=doctor)

    names = commands.add_parser(
        "networks", help="list the networks that `architectures` takes, and what each costs"
    )
    names.add_argument(
        "pattern", nargs="?", default="", help="part of a name, or 'mobilenet*'; default: all, over 1000"
    )
    names.add_argument("--size", type=_positive, help="pixels a side; default: images.size of the config")
    names.add_argument("--config", type=Path, action="append", default=[], help="an overlay on config.yaml")
    names.set_defaults(command=networks)

    serve_ = commands.add_parser("serve", help="a page and an API on this machine that judge images")
    serve_.add_argument("--model", type=Path, metavar="BUNDLE", help="or an ONNX file in one; default: the newest")
    serve_.add_argument("--host", default="127.0.0.1", help="address to listen on; default: this machine alone")
    serve_.add_argument("--port", type=_port, default=8000, help="0: any that is free; default: 8000")
    serve_.add_argument("--threads", type=_positive, default=0, help="images judged at a time; default: all cores")
    serve_.add_argument("--name", action="append", default=[], help="another host name to answer to; repeatable")
    serve_.add_argument("--max-mb", type=_positive, default=32, help="megabytes of one request; default: 32")
    serve_.add_argument("--max-megapixels", type=_positive, default=50, help="of one image; default: 50")
    serve_.add_argument("--queue", type=_positive, default=64, help="requests at the same time; default: 64")
    serve_.add_argument("--source", help="treat images as those of this training source, where these differ")
    serve_.set_defaults(command=serve)

    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("detector")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def demo_data(args: argparse.Namespace) -> None:
    """`detector demo-data`: write the demo's data sets."""
    extras.check("pipeline", "this command")  # of which its workers would hear when half of the images are made
    # imported here: `detector summary` need not wait for what this needs
    from detector.demo.generate import make_demo

    make_demo(args.root, seed=args.seed, scale=args.scale)


def summary(args: argparse.Namespace) -> None:
    """`detector summary`: print the main tables of a results folder."""
    from detector.cli import brief
    from detector.cli.summary import text

    called = sys.argv[0]  # as `make demo` does it, without the environment being activated
    job.say(
        brief.text(args.results, "detector" if os.path.isabs(called) else called)
        if args.brief
        else text(args.results)
    )


def clean(args: argparse.Namespace) -> None:
    """`detector clean`: list what can be deleted, and delete it on request.

    Raises `DetectorError` where it must ask and nobody can answer.
    """
    from detector.cli import clean as cleaning

    items = cleaning.deletable(args.results, args.pixels)
    job.say(cleaning.text(items, args.pixels))
    if not items:
        return
    if not args.yes:
        try:
            answer = input("Delete these? [y/N] ")
        except (EOFError, RuntimeError):  # the latter where stdin is closed
            raise DetectorError(
                "nothing was deleted: standard input gave no answer; --yes deletes without asking"
            ) from None
        if answer.strip().lower() not in ("y", "yes"):
            logging.info("nothing was deleted")
            return
    cleaning.check_idle(args.results)  # answers take their time
    cleaning.delete(items)
    logging.info("deleted %.1f MB", sum(item.bytes for item in items) / 1e6)


def predict(args: argparse.Namespace) -> None:
    """`detector predict`: judge images and videos."""
    from detector.cli.predict import predict

    options = ("model", "explain", "batch", "threads", "fast", "source", "frames")
    try:
        sys.exit(predict(args.paths, form=args.format, **{name: getattr(args, name) for name in options}))
    except signals.StoppedError as stop:
        logging.error("stopped by %s; the images that were finished have their rows", stop)
        sys.exit(stop.exit_code)


def evaluate(args: argparse.Namespace) -> None:
    """`detector evaluate`: compare detectors on labelled images."""
    extras.check("evaluate", "detector evaluate")
    from detector.cli.evaluate import evaluate

    options = ("out", "split", "calibrate", "perturb", "config", "time_limit", "start_limit", "threads")
    sys.exit(evaluate(args.data, args.model, **{name: getattr(args, name) for name in options}))


def train(args: argparse.Namespace) -> None:
    """`detector train`: from two folders of images to a bundle."""
    extras.check("pipeline", "detector train")
    from detector.cli.train import train

    logging.getLogger("detector.data").setLevel(logging.WARNING)  # what folders are taken for is in the plan
    options = ("out", "start", "minutes", "plan")
    sys.exit(train(args.real, args.fake, **{name: getattr(args, name) for name in options}))


def adapt(args: argparse.Namespace) -> None:
    """`detector adapt`: a bundle learns a new generator."""
    extras.check("pipeline", "detector adapt")
    from detector.cli.adapt import adapt

    logging.getLogger("detector.data").setLevel(logging.WARNING)
    options = {"results": args.run, "fake": args.fake, "real": args.real, "out": args.out}
    sys.exit(adapt(args.bundle, **options, plan_only=args.plan))


def doctor(args: argparse.Namespace) -> None:
    """`detector doctor`: print what is installed, what is missing and what is next."""
    from detector.cli.doctor import text

    job.say(text(args.config))


def networks(args: argparse.Namespace) -> None:
    """`detector networks`: list networks by name with their parameters and multiply-accumulates."""
    extras.check("pipeline", "detector networks")
    from detector.cli.networks import lines, matching
    from detector.experiment.config import config_of

    names = matching(args.pattern)
    for line in lines(names, args.size or config_of(Path(), args.config)["images"]["size"]):
        job.say(line)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 65535, found {text!r}")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        if 0 < float(text) < float("inf"):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")


def _share(text: str) -> float:
    try:
        if 0 <= float(text) < 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, found {text!r}")


def serve(args: argparse.Namespace) -> None:
    """`detector serve`: serve the page and the API."""
    from detector.core import machine
    from detector.predict import bundles
    from detector.predict.model import Model
    from detector.serve import server, uploads

    bundle = args.model
    if bundle is None:
        bundle = bundles.newest("results")
        logging.info("--model is not given: taking the newest bundle, %s", bundle)
    workers = args.threads or machine.cores()
    megabytes, pixels = args.max_mb * 10**6, args.max_megapixels * 10**6
    limits = uploads.Limits(
        bytes=megabytes, pixels=pixels, requests=args.queue, held=max(8 * megabytes, uploads.Limits.held)
    )
    # One thread per pass: images side by side are faster than the parts of one.
    model = Model.open(bundle, threads=1, source=args.source)
    server.run(model, host=args.host, port=args.port, workers=workers, limits=limits, names=args.name)


if __name__ == "__main__":
    main()
