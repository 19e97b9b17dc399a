"""`detector train`: shows the plan, writes its overlay, runs the pipeline, says what came of it."""

import math
import textwrap
import time
from pathlib import Path

from detector.cli import pipeline, summary
from detector.cli.pipeline import DONE, FAILED
from detector.core import job, machine
from detector.core.files import write_json, write_text
from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.data.records import NO_GENERATOR
from detector.starter import checkout, outcome, run
from detector.starter.plan import CONFIG, RECORD, Plan, duration, make, took

SHOWN = 6  # generators that are named
USES = dict(zip(SPLIT_NAMES, ("train", "choose by", "test"), strict=True))


def train(
    real: Path,
    fake: Path,
    *,
    out: Path,
    start: str | None = None,
    minutes: float | None = None,
    plan: bool = False,
) -> int:
    """Train a detector of the images in two folders. `plan`: only say what would be done.

    Returns 0, or 1 where a stage of the pipeline failed. Raises `DetectorError` for input that is of no use.
    """
    root = checkout.find()
    made = make(root, real, fake, out, start, minutes)
    job.say(described(made, real, fake, out))
    if plan:
        job.say(pipeline.NOTHING_STARTED)
        return DONE
    out.mkdir(parents=True, exist_ok=True)
    if made.text is not None:
        write_text(out / CONFIG, made.text)
    write_json(out / RECORD, made.record)
    snakemake, begun = run.command(made.file, machine.cores(), made.networks), time.monotonic()
    if pipeline.run(root, snakemake, out / RECORD, out):
        return FAILED
    job.say(f"\nDone in {duration(time.monotonic() - begun)}.\n{ended(out)}")
    return DONE


def described(plan: Plan, real: Path, fake: Path, out: Path) -> str:
    """What is to be done, with what and for how long, and the overlay where it is new."""
    counts, config, found = plan.counts, plan.config, plan.estimate
    known = [f"{number:,} {name}" for name, number in counts.generators.most_common() if name != NO_GENERATOR]
    more = len(known) - SHOWN
    made = f" ({', '.join(known[:SHOWN])}{f' and {more} more generators' if more > 0 else ''})" if known else ""
    totals = {label: sum(counts.parts[split, label] for split in SPLIT_NAMES) for label in (REAL, FAKE)}
    measured = plan.measured
    lines = {
        "Images": f"{totals[REAL]:,} real in {real}, {totals[FAKE]:,} fake in {fake}{made}: "
        + ", ".join(f"{counts.of(split):,} to {use}" for split, use in USES.items()),
        "Training": f"{', '.join(config['architectures'])} at {config['images']['size']} px on "
        f"{measured['device']}, {plan.work}",
        "Time": took(measured, found, config["train"]["batch_size"])
        + (f"; chosen to fit into {plan.minutes:g} minutes" if plan.minutes and plan.text else ""),
        "Disk": f"about {found.disk / 1e6:,.0f} MB in {out}",
        "Memory": f"about {found.memory / 1024:.1f} GiB",
        "Settings": f"{out / CONFIG}, "
        + ("shown below; edit it to change anything" if plan.text else "which is there and used as it stands"),
    }
    text = "\n".join(_paragraph(title, said) for title, said in lines.items())
    return f"{text}\n\n{textwrap.indent(plan.text.strip(), '    ')}" if plan.text else text


def ended(out: Path) -> str:
    """What came of a run: whether it learned at all, the bundle, how good it is, the audit and what is next."""
    best = outcome.best(out)
    tables = out / "tables"
    doubts, audit = summary.doubts(tables / "final_accuracy.csv"), summary.audit(tables / "audit_verdict.csv")
    interval = f"95 % interval {best.low:.1%} to {best.high:.1%}"
    if math.isnan(best.low):
        interval = "no interval, since they all belong together"
    lines = {
        "Bundle": f"{best.bundle}",
        "Accuracy": f"{best.accuracy:.1%} of {best.images:,} test images called right "
        f"({interval}): {best.fakes[0]:,} of {best.fakes[1]:,} fakes and "
        f"{best.reals[0]:,} of {best.reals[1]:,} real ones",
    }
    parts = [doubts, "\n".join(_paragraph(title, said) for title, said in lines.items()), audit]
    parts.append(
        f"Next, ask it about pictures:\n  detector predict PICTURE --model {best.bundle}\n"
        f"All tables:\n  detector summary {out}"
    )
    return "\n\n".join(part for part in parts if part)


def _paragraph(title: str, said: str) -> str:
    return textwrap.fill(f"{title:<10}{said}", 112, subsequent_indent=" " * 10, break_on_hyphens=False)
