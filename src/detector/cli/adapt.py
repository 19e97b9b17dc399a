"""`detector adapt`: a bundle learns a new generator from a few images; says what it gained and what it forgot."""

import textwrap
import time
from pathlib import Path

from detector.cli import pipeline
from detector.cli.pipeline import DONE, FAILED
from detector.core import job, machine, tabular
from detector.core.files import write_json, write_text
from detector.experiment.config import used_sources
from detector.starter import adaptation, checkout, gains, plan, run
from detector.starter.estimate import estimate

TABLE, REPORT = "tables/adaptation.csv", "report.md"


def adapt(
    bundle: Path, *, results: Path, fake: Path, real: Path | None, out: Path, plan_only: bool = False
) -> int:
    """Adapt a bundle of the run `results` to the images in `fake`, and write all of it to `out`.

    `plan_only`: only say what would be done. Returns 0, or 1 where a stage of the pipeline failed. Raises
    `DetectorError` for input that is of no use.
    """
    root = checkout.find()
    made = adaptation.make(root, bundle, results, fake, real, out)
    measuring, measured = plan.measured_step(made.config, out)
    found = estimate(made.config, made.counts, measured, machine.cores(), adaptation.LIGHT_STAGES)
    time_said = plan.took(measured, found, made.config["train"]["batch_size"])
    job.say(f"{described(made, bundle)}\nTime      {time_said}")
    if plan_only:
        if made.text:
            job.say(f"\n{textwrap.indent(made.text.strip(), '    ')}")
        job.say(pipeline.NOTHING_STARTED)
        return DONE
    made.write(out)
    write_json(out / adaptation.PLAN, plan.kept(measuring, measured, found))
    snakemake, begun = run.command(made.file, machine.cores(), 1, made.targets), time.monotonic()
    if pipeline.run(root, snakemake, out / adaptation.PLAN, out):
        return FAILED
    before, after = (out / made.folder(one) for one in (made.before, made.after))
    table = gains.compared(before, after, list(used_sources(made.config)), made.source)
    tabular.write_table(table, out / TABLE)
    sentences = gains.words(table, made.given.generators)
    new = after / "bundle"
    write_text(out / REPORT, report(made, bundle, new, sentences))
    ends = "\n\n".join(textwrap.fill(one, 112) for one in sentences)
    done = f"Done in {plan.duration(time.monotonic() - begun)}."
    job.say(f"\n{done}\n\n{ends}\n\nBundle    {new}\nReport    {out / REPORT}")
    return DONE


def described(made: adaptation.Adaptation, bundle: Path) -> str:
    """What is to be done, with what."""
    lines = [
        f"Bundle    {bundle} ({made.origin.variant}), of the run that it says it is of",
        f"New       {adaptation.counts(made.given)}"
        + (f"; {made.given.copies} more were copies or near copies" if made.given.copies else ""),
        f"Replayed  {', '.join(made.origin.packs)}, as that run packed and split them",
        f"Settings  {made.file}" + ("" if made.text else ", which is there and used as it stands"),
    ]
    return "\n".join(textwrap.fill(line, 112, subsequent_indent=" " * 10) for line in lines)


def report(made: adaptation.Adaptation, bundle: Path, new: Path, sentences: list[str]) -> str:
    """The page that is kept beside the tables, Markdown."""
    points = "\n".join(f"- {one}" for one in sentences)
    return f"""\
# Adaptation of {made.origin.variant}

- Before: `{bundle}`, SHA-256 of its weights {made.origin.sha256}
- After: `{new}`
- Images: {adaptation.counts(made.given)}

## What was gained, what was forgotten

{points}

Both networks saw the same test images: of the new source those that were held out, by which nothing was trained
or chosen, of the old ones the run's own test parts, less copies of images that are trained with now. The logits
are the pipeline's, in fp32. Intervals are paired, by groups where the sources know some; p are of McNemar's exact
test, corrected (Holm) over the old parts, and over the new ones. `{TABLE}` has every part.
"""
