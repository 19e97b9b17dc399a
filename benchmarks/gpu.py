"""Measurements on a GPU, for the day one is at hand: parts of at most five minutes, and one table.

    python -m benchmarks.gpu --out gpu --cifake cifake.tar.xz        at most 12 minutes in all
    python -m benchmarks.gpu --out gpu --parts step masked           these alone
    python -m benchmarks.gpu --out gpu-dry --dry                     each part at a tiny size on a CPU

Each part is a process of its own and leaves `OUT/PART.json`. One that is done is not run again, one that failed or
was killed is; what was noted on another machine is never written over. What a part lacks (CUDA, CIFAKE, a
compiler, time) is said, in the table too, and the others go on. `OUT/gpu.md` is written after each part. CIFAKE is
carried in as its archive or the unpacked folder, all other images are made here. A dry run shows that the script
works: it writes `OUT/dry-run.md`, without any figure.

Exits with 1 where a part failed, or where none is done.
"""

import argparse
import datetime
import importlib.util
import itertools
import logging
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from benchmarks import common
from detector.core import job, locks, provenance
from detector.core.errors import DetectorError
from detector.core.files import read_json, replacing, write_json, write_text
from detector.imaging.preprocessing import Preprocessing, load
from detector.models import devices, gpus, inference, networks
from detector.models.batches import PREFETCHED, RESIDENT, Batches
from detector.pruning import masks
from detector.stats import decisions, intervals
from detector.training import search
from detector.training.fit import fit
from detector.training.recipe import Recipe
from detector.training.resume import ResumeState

LIMIT = 300  # seconds of a part
MINUTES = 12  # of all parts together
CARRIED = 60 * 10**6  # bytes of the archive that is carried in
DONE, SKIPPED, FAILED = "done", "skipped", "failed"
NOT_MEASURED = "ran"  # in place of each figure of a dry run
IMAGES_PER_SECOND, OF_TF32, REAL_OF_CONSTANT = 3500, 2.6, 1.05  # targets

Row = tuple[str, str, str]  # what was measured, what came out, whether a target is met


@dataclass(frozen=True)
class Setting:
    """What the parts work with: `out` is small and stays, `work` is large and may be lost."""

    dry: bool
    out: Path
    work: Path
    cifake: Path | None

    @property
    def device(self) -> str:
        return "cpu" if self.dry else "cuda"

    def of(self, measured: Any, dry: Any) -> Any:
        """One of two values: that of a measurement, or that of a dry run."""
        return dry if self.dry else measured

    def plan(self, size: int, precision: str = "auto") -> devices.Plan:
        return devices.plan(self.device, precision, threads(self), size)

    def wait(self) -> None:
        """Wait for what the GPU was told to do."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def threads(setting: Setting) -> int:
    return setting.of(4, 1)


# What the parts measure


def step(setting: Setting) -> Iterator[Row]:
    """Training throughput, against a plain loop with TF32, and real against constant batches."""
    from benchmarks import step as steps  # imports torchvision and Optuna, which no other part needs

    for batch in setting.of((16, 64), (2,)):
        args = step_arguments(setting, batch)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "train"
            stored = setting.of(256, args.size)
            common.write_pictures(Path(name), {"train": args.files // 2}, stored)
            sides = {
                "loop": common.Side(steps.naive_side, folder, args, True),
                "ours": common.Side(steps.our_side, folder, args, True),
                "loop, constant": common.Side(steps.naive_side, folder, args, False),
                "ours, constant": common.Side(steps.our_side, folder, args, False),
            }
            seconds = common.interleave(sides, args.repeats)
            ratios = {"ratio": common.Side(steps.real_and_constant, folder, args)}
            fed = common.interleave(ratios, args.repeats)["ratio"]
        what = f"{args.arch}, {args.size} px, batch {batch}"
        for side, kind in (("constant", "on a batch already there"), ("", "with loading")):
            theirs, own = (seconds[f"{who}, {side}" if side else who] for who in ("loop", "ours"))
            rates = [[batch / each for each in side] for side in (theirs, own)]
            value, text = common.ratio(theirs, own)
            fast = statistics.median(rates[1]) >= IMAGES_PER_SECOND
            aimed = batch == 64 and side == "constant"
            yield f"{what}, {kind}: plain loop, TF32, images/s", common.spread(rates[0], digits=0), ""
            yield (
                f"{what}, {kind}: ours, images/s",
                common.spread(rates[1], digits=0),
                f"≥ {IMAGES_PER_SECOND:,}: {common.verdict(fast)}" if aimed else "",
            )
            wanted = f"≥ {OF_TF32}: {common.verdict(value >= OF_TF32)}" if aimed else ""
            yield f"{what}, {kind}: ours × the loop", text, wanted
        met = common.verdict(statistics.median(fed) <= REAL_OF_CONSTANT)
        yield (
            f"{what}: time of a step on real × on constant batches",
            common.spread(fed, digits=3),
            f"≤ {REAL_OF_CONSTANT}: {met}",
        )


def compiled(setting: Setting) -> Iterator[Row]:
    """The same step with `torch.compile` around the network."""
    from benchmarks import step as steps

    args = step_arguments(setting, setting.of(64, 2))
    args.arch = setting.of(args.arch, "small_cnn")
    with tempfile.TemporaryDirectory() as name:
        common.write_pictures(Path(name), {"train": args.batch}, args.size)
        sides = {
            kind: common.Side(steps.our_side, Path(name) / "train", args, False, kind == "compiled")
            for kind in ("as it is", "compiled")
        }
        seconds = common.interleave(sides, args.repeats)
    what = f"{args.arch}, {args.size} px, batch {args.batch}"
    rates = [args.batch / each for each in seconds["compiled"]]
    yield f"{what}: compiled, images/s", common.spread(rates, digits=0), ""
    yield f"{what}: compiled × as it is", common.ratio(seconds["as it is"], seconds["compiled"])[1], ""


def step_arguments(setting: Setting, batch: int) -> argparse.Namespace:
    """Options of benchmarks.step."""
    return argparse.Namespace(
        arch=setting.of("resnet50", "resnet18"),
        size=setting.of(224, 32),
        batch=batch,
        threads=threads(setting),
        workers=setting.of(12, 0),
        files=setting.of(512, 4),
        steps=setting.of(20, 1),
        turns=setting.of(3, 1),
        repeats=setting.of(5, 1),
        device=setting.device,
        cpu_seconds=False,
    )


def masked(setting: Setting) -> Iterator[Row]:
    """A training step that keeps 40 % of the weights at zero, against a dense one."""
    size, batch = setting.of(224, 16), setting.of(64, 4)
    plan = setting.plan(size)
    images, labels = next(drawn(plan, batch, size).train(batch, seed=0, epoch=1, flip=0.5))

    def side(sparse: bool) -> Callable[[], float]:
        model = plan.place(networks.build(setting.of("resnet50", "small_cnn"))).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        weights = networks.prunable(model)
        kept = masks.like(weights, masks.global_l1(weights, 0.4)) if sparse else None

        def one() -> None:
            optimizer.zero_grad(set_to_none=True)
            with plan.autocast():
                logits = model(images).squeeze(1)
            torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels).backward()
            optimizer.step()
            if kept is not None:
                masks.apply(weights, kept)

        return timed(setting, one, setting.of(20, 1))

    seconds = common.interleave({"dense": side(False), "masked": side(True)}, setting.of(7, 1))
    for name, found in seconds.items():
        yield f"resnet50, {size} px, batch {batch}: {name} step, ms", common.spread(found, 1000, 2), ""
    yield "masked × dense", common.ratio(seconds["masked"], seconds["dense"])[1], ""


def evaluation(setting: Setting) -> Iterator[Row]:
    """Logits as `predict` computes them, fp32."""
    size, count = setting.of(224, 16), setting.of(4096, 8)
    plan = setting.plan(size, "fp32")
    model = networks.build(setting.of("resnet50", "small_cnn"))
    batches = drawn(plan, count, size)
    seconds = common.interleave(
        {"all": timed(setting, lambda: inference.logits(model, batches, plan), 1)}, setting.of(5, 1)
    )
    rates = [count / each for each in seconds["all"]]
    yield f"resnet50, {size} px, fp32 without TF32: images/s", common.spread(rates, digits=0), ""


def memory(setting: Setting) -> Iterator[Row]:
    """Images that stay on the device: what they take, and what they are worth."""
    size, count, batch = setting.of(224, 16), setting.of(4096, 8), setting.of(64, 4)
    plan = setting.plan(size)
    expected = count * size * size * 3

    def fed(feed: str) -> tuple[list[float], float]:
        """Images/s of each epoch, and the device's memory that the batches keep."""
        before, epochs = allocated(setting), itertools.count()
        batches = drawn(plan, count, size, feed=feed)

        def epoch() -> None:
            for _ in batches.train(batch, seed=0, epoch=next(epochs), flip=0.5):
                pass

        seconds = common.interleave({feed: timed(setting, epoch, 1)}, setting.of(5, 1))[feed]
        return [count / each for each in seconds], allocated(setting) - before

    for feed in (RESIDENT, PREFETCHED):
        rates, kept = fed(feed)
        yield f"{size} px, {feed}: memory that stays × the bytes of the images", f"{kept / expected:.3f}", ""
        yield f"{size} px, {feed}: fed to the device, images/s", common.spread(rates, digits=0), ""
    chosen = drawn(plan, count, size)._choose()
    yield f"chosen for {expected / 2**20:,.0f} MiB of images", chosen, ""
    if setting.device == "cuda":
        yield "most memory of this part, MiB", f"{torch.cuda.max_memory_allocated() / 2**20:,.0f}", ""


def resume(setting: Setting) -> Iterator[Row]:
    """A training that is killed after its first epoch and goes on, against two that are not."""
    folder = Path(tempfile.mkdtemp(dir=setting.work))
    whole, again = (trained(setting, folder / name)["losses"] for name in ("whole", "again"))
    ((code, _),) = beside([(trained, (setting, folder / "killed", True))])
    yield "killed after epoch 1: exit code", str(code), common.verdict(code == -signal.SIGKILL)
    resumed = trained(setting, folder / "killed")
    yield "went on after epoch", str(resumed["before"]), common.verdict(resumed["before"] == 1)
    for what, losses in (("killed and resumed", resumed["losses"]), ("another unbroken one", again)):
        apart = max(abs(a - b) for a, b in zip(whole, losses, strict=True))
        yield f"largest difference of a validation loss from an unbroken training: {what}", f"{apart:.2e}", ""
    shutil.rmtree(folder)


def sharing(setting: Setting) -> Iterator[Row]:
    """Two trainings on one device at the same time, against one."""
    folder = Path(tempfile.mkdtemp(dir=setting.work))
    alone = [told(beside([(trained, (setting, folder / "alone"))])[0])["rate"]]
    both = [told(one)["rate"] for one in beside([(trained, (setting, folder / str(n))) for n in range(2)])]
    yield "one training by itself, images/s", f"{alone[0]:,.0f}", ""
    yield "two at the same time, images/s each", ", ".join(f"{rate:,.0f}" for rate in both), ""
    yield "both together × one by itself", f"{sum(both) / alone[0]:.2f}", ""
    shutil.rmtree(folder)


def worker(setting: Setting) -> Iterator[Row]:
    """A search by two workers on one device."""
    folder = Path(tempfile.mkdtemp(dir=setting.work))
    started = time.perf_counter()
    found = [told(one) for one in beside([(searched, (setting, folder, number)) for number in range(2)])]
    seconds = time.perf_counter() - started
    trials = setting.of(6, 2)
    tried = [one["tried"] for one in found]
    yield "trials of worker 0 and of worker 1", f"{tried[0]} and {tried[1]}", common.verdict(sum(tried) == trials)
    yield f"{trials} trials by both, s, with the start of the processes", f"{seconds:.0f}", ""
    shutil.rmtree(folder)


def precision(setting: Setting) -> Iterator[Row]:
    """fp32 against bf16 on CIFAKE: accuracy on its test images after three epochs."""
    train, valid, test, label = cifake(setting)
    right = {}
    for name in ("fp32", "bf16"):
        plan = setting.plan(32, name)
        recipe = Recipe("Adam", 1e-3, 256, epochs=setting.of(3, 1), patience=None, flip=0.5, seed=0)
        model = networks.build(setting.of("resnet18", "small_cnn"), seed=0, size=32)
        result = fit(model, train(plan), valid(plan), recipe, plan, title=name)
        exact = setting.plan(32, "fp32")  # logits are fp32 whatever training used
        right[name] = decisions.right(label, inference.logits(model, test(exact), exact))
        rates = [row.images_per_second for row in result.history]
        yield f"resnet18, 32 px, {name}: training, images/s", common.spread(rates, digits=0), ""
        yield f"resnet18, 32 px, {name}: test accuracy after {recipe.epochs} epochs", accuracy(right[name]), ""
    low, high = (100 * bound for bound in intervals.paired_interval(right["fp32"], right["bf16"]))
    points = 100 * (right["bf16"].mean() - right["fp32"].mean())
    yield "bf16 less fp32, points", f"{points:+.2f} ({low:+.2f} to {high:+.2f})", ""


def baseline(setting: Setting) -> Iterator[Row]:
    """All of CIFAKE at 32 px; goes on where it was stopped, while `--work` is there."""
    train, valid, test, label = cifake(setting)
    plan, exact = setting.plan(32), setting.plan(32, "fp32")
    more = {"weight_decay": 0.05, "schedule": "one_cycle"}
    recipe = Recipe("AdamW", 1e-3, 128, epochs=setting.of(15, 1), patience=None, flip=0.5, seed=0, **more)
    model = networks.build(setting.of("resnet18", "small_cnn"), seed=0, size=32)
    result = fit(
        *(model, train(plan), valid(plan), recipe, plan),
        state=ResumeState(setting.work / "baseline"),
        title="baseline",
    )
    found = decisions.right(label, inference.logits(model, test(exact), exact))
    seconds = sum(row.seconds for row in result.history)
    yield f"resnet18, 32 px, {len(train(plan)):,} training images: test accuracy", accuracy(found), ""
    yield f"{len(result.history)} epochs, s", f"{seconds:.0f}", ""


# What they share


def timed(setting: Setting, work: Callable[[], object], times: int) -> Callable[[], float]:
    """A side for `interleave`: seconds of one of `times` pieces of work."""

    def run() -> float:
        setting.wait()
        started = time.perf_counter()
        for _ in range(times):
            work()
        setting.wait()
        return (time.perf_counter() - started) / times

    return run


def allocated(setting: Setting) -> int:
    """Bytes of the device's memory that tensors take; of a CPU 0."""
    return torch.cuda.memory_allocated() if setting.device == "cuda" else 0


def accuracy(right: np.ndarray) -> str:
    """Percent, with its 95 % interval (Wilson)."""
    share = float(right.mean())
    low, high = intervals.wilson(share, len(right))
    return f"{100 * share:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def drawn(plan: devices.Plan, count: int, size: int, seed: int = 0, feed: str | None = None) -> Batches:
    """Noise, whose red is a little brighter where the label is 1."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2
    pixels = rng.integers(0, 200, (count, size, size, 3), dtype=np.uint8)
    pixels[..., 0] += (label * 40).astype(np.uint8)[:, None, None]
    return Batches([pixels], np.zeros(count, int), np.arange(count), label, plan.torch_device, feed)


def trained(setting: Setting, folder: Path, kill: bool = False) -> dict[str, Any]:
    """A short training with its state in `folder`: losses, images/s, epochs that were done before.

    `kill`: ends this process by SIGKILL once the first epoch is saved.
    """
    size, count = setting.of(64, 16), setting.of(8192, 8)
    plan = setting.plan(size)
    train, valid = drawn(plan, count, size), drawn(plan, count // 4, size, seed=1)
    state = ResumeState(folder)
    before = len((state.load() or {"history": []})["history"])
    recipe = Recipe("Adam", 1e-4, setting.of(64, 4), epochs=3, patience=None, flip=0.5, seed=0)
    model = networks.build(setting.of("resnet18", "small_cnn"), seed=0, size=size)
    after = (lambda row: os.kill(os.getpid(), signal.SIGKILL)) if kill else None
    result = fit(model, train, valid, recipe, plan, state=state, title=folder.name, after_epoch=after)
    rates = [row.images_per_second for row in result.history[1:]]  # the first epoch also warms up
    losses = [row.valid_loss for row in result.history]
    return {"losses": losses, "rate": statistics.median(rates), "before": before}


def searched(setting: Setting, folder: Path, number: int) -> dict[str, int]:
    """The part of a search that a worker did."""
    size, count = setting.of(64, 16), setting.of(4096, 8)
    plan, tried = setting.plan(size), 0
    train, valid = drawn(plan, count, size), drawn(plan, count // 4, size, seed=1)

    def objective(_: int, values: dict[str, Any], report: search.study.Report) -> tuple[float, int]:
        nonlocal tried
        tried += 1
        recipe = Recipe(
            **values, batch_size=setting.of(64, 4), epochs=setting.of(3, 1), patience=None, flip=0.5, seed=0
        )
        model = networks.build(setting.of("resnet18", "small_cnn"), seed=0, size=size)
        result = fit(model, train, valid, recipe, plan, title=f"worker {number}")
        for row in result.history:
            report(row.epoch, row.valid_accuracy, valid_accuracy=row.valid_accuracy)
        return result.best.valid_accuracy, len(result.history)

    def lock_of(worker: int) -> Path:
        return job.lock_of(folder / "state", worker)

    space = search.Space({"optimizer": ["Adam", "SGD"], "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}})
    with locks.held(lock_of(number)):
        search.run(
            *(folder / "journal.log", space, setting.of(6, 2), 0, objective),
            worker=number,
            machine={"device": plan.device, "precision": plan.precision},
            lock_of=lock_of,
        )
    return {"tried": tried}


Call = tuple[Callable[..., Any], tuple[Any, ...]]


def beside(calls: Sequence[Call]) -> list[tuple[int, Any]]:
    """Make calls at the same time, each in a process of its own: exit code and result, None of a killed one."""
    context, running = multiprocessing.get_context("spawn"), []
    for function, arguments in calls:
        ours, theirs = context.Pipe()
        process = context.Process(target=_send, args=(theirs, function, arguments))
        process.start()
        theirs.close()
        running.append((process, ours))
    found = []
    for process, pipe in running:
        try:
            result = pipe.recv()
        except EOFError:
            result = None
        process.join()
        found.append((process.exitcode, result))
    return found


def _send(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(function(*arguments))


def told(ended: tuple[int, Any]) -> Any:
    """What a process found. Raises `RuntimeError` where it failed."""
    code, result = ended
    if code:
        raise RuntimeError(f"a process beside this one ended with {code}; its error is above")
    return result


MakeBatches = Callable[[devices.Plan], Batches]


def cifake(setting: Setting) -> tuple[MakeBatches, MakeBatches, MakeBatches, np.ndarray]:
    """Training (nine of ten), validation and test images of CIFAKE, and the labels of the last.

    Decoded once: `work`/cifake.npz has them from then on.
    """
    store = setting.work / "cifake.npz"
    if not store.exists():
        arrays: dict[str, list] = {f"{split}_{what}": [] for split in ("train", "test") for what in ("x", "y")}
        how = Preprocessing(32, max_pixels=10**7)
        for name, content in pictures(setting.cifake or stand_in(setting)):
            split, real = Path(name).parts[-3], Path(name).parts[-2] == "REAL"
            arrays[f"{split}_x"].append(load(name, how, content=content))
            arrays[f"{split}_y"].append(int(real))
        with replacing(store) as temporary, open(temporary, "wb") as file:
            np.savez(file, **{name: np.array(values, np.uint8) for name, values in arrays.items()})
    with np.load(store) as arrays:
        x, y, tested, label = (arrays[name] for name in ("train_x", "train_y", "test_x", "test_y"))
    order = np.random.default_rng(0).permutation(len(y))
    cut = len(y) - len(y) // 10

    def of(pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> MakeBatches:
        return lambda plan: Batches([pixels], np.zeros_like(rows), rows, labels[rows], plan.torch_device)

    return of(x, y, order[:cut]), of(x, y, order[cut:]), of(tested, label, np.arange(len(label))), label


def pictures(place: Path) -> Iterator[tuple[str, BinaryIO | None]]:
    """Images by name, {train,test}/{REAL,FAKE}/NAME at its end, of an unpacked folder or an archive."""
    if place.is_dir():
        yield from ((str(path), None) for path in sorted(place.rglob("*.jpg")))
        return
    with tarfile.open(place) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                yield member.name, BytesIO(file.read())


def stand_in(setting: Setting) -> Path:
    """A folder like CIFAKE, for a dry run: noise."""
    folder = Path(tempfile.mkdtemp(dir=setting.work))
    common.write_pictures(folder, {"train": 10, "test": 4}, 32)
    for place in sorted(folder.glob("*/*")):
        place.rename(place.with_name(place.name.upper()))
    return folder


# Which parts there are, what they lack, and the table


@dataclass(frozen=True)
class Part:
    """A part: what is measured, the seconds that it must have left to begin, and what else it needs."""

    measure: Callable[[Setting], Iterator[Row]]
    least: int
    needs: tuple[str, ...] = ()


PARTS = {
    "step": Part(step, 90),
    "masked": Part(masked, 30),
    "evaluation": Part(evaluation, 30),
    "memory": Part(memory, 30),
    "resume": Part(resume, 40),
    "sharing": Part(sharing, 40),
    "worker": Part(worker, 40),
    "precision": Part(precision, 60, ("cifake", "bf16")),
    "compiled": Part(compiled, 90, ("compiler",)),
    "baseline": Part(baseline, 90, ("cifake",)),
}


def lacks(part: Part, setting: Setting, left: float) -> str | None:
    """What a part cannot be run without, in words; None where it has all."""
    if not setting.dry and not torch.cuda.is_available():
        return "no CUDA device"
    if left < part.least:
        return f"{left:.0f} s are left, it needs {part.least}; raise --minutes"
    if "cifake" in part.needs and not setting.dry:
        if setting.cifake is None:
            return "no CIFAKE; give its archive or folder to --cifake"
        if not setting.cifake.exists():
            return f"no CIFAKE: {setting.cifake} is not there"
        if setting.cifake.is_file() and setting.cifake.stat().st_size > CARRIED:
            return f"{setting.cifake} has more than {CARRIED // 10**6} MB"
    if "bf16" in part.needs and not setting.dry and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name()} has no bf16"
    if "compiler" in part.needs:
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            return "no C++ compiler"
        if not setting.dry and importlib.util.find_spec("triton") is None:
            return "no Triton, by which torch.compile makes code for a GPU"
    return None


def where(setting: Setting) -> str:
    """GPU and versions, which parts of one table share; of a dry run no machine at all."""
    if setting.dry or not torch.cuda.is_available():
        return "dry run" if setting.dry else "no CUDA device"
    from benchmarks import run

    about = torch.cuda.get_device_properties(0)
    machine = run.machine().split(", ", 1)[1]  # without the day
    return f"- {about.name}, {about.total_memory / 2**30:.0f} GiB; CUDA {torch.version.cuda}\n- {machine}"


def measure(name: str, setting: Setting) -> None:
    """Run a part in this process, and note what it found. Of a dry run no figure is kept."""
    started = time.perf_counter()
    rows = [list(row) for row in PARTS[name].measure(setting)]
    if setting.dry:
        rows = [[what, NOT_MEASURED, ""] for what, *_ in rows]
    note(name, setting, DONE, rows=rows, seconds=time.perf_counter() - started)


def note(
    name: str,
    setting: Setting,
    status: str,
    why: str = "",
    *,
    rows: Sequence[Sequence[str]] | None = None,
    seconds: float = 0.0,
) -> None:
    """Write PART.json; `seconds` are added to those that the part took before."""
    before = noted(name, setting)
    origin = provenance.record()
    facts = {
        "status": status,
        "why": why,
        "where": where(setting),
        "day": datetime.date.today().isoformat(),
        "commit": (origin["git_commit"][:7] or "no checkout") + (" and changes" if origin["dirty"] else ""),
        "rows": [] if rows is None else rows,
        "seconds": seconds + (before["seconds"] if before else 0.0),
    }
    write_json(setting.out / f"{name}.json", facts)


def noted(name: str, setting: Setting) -> dict[str, Any] | None:
    """What PART.json says; None where there is none.

    Raises `DetectorError` for one of another machine, or of another kind of run: nothing of it is written over.
    """
    path = setting.out / f"{name}.json"
    if not path.exists():
        return None
    found, here = read_json(path), where(setting)
    if found["where"] != here:
        raise DetectorError(
            f"{path}: found what was noted on\n{found['where']}\nwhile this is\n{here}\ngive another --out"
        )
    return found


def apart(name: str, setting: Setting, limit: float) -> None:
    """Run a part in a process of its own, for `limit` seconds at most; its output is PART.log."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--only", name]
    command += ["--out", str(setting.out), "--work", str(setting.work), *(["--dry"] if setting.dry else [])]
    command += ["--cifake", str(setting.cifake)] if setting.cifake else []
    library = os.pathsep.join([str(common.ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment, started = {**os.environ, "PYTHONPATH": library}, time.perf_counter()
    if torch.cuda.is_available():
        environment[gpus.VISIBLE] = gpus.visible([0])  # all that is compared is on one device
    path = setting.out / f"{name}.log"
    with open(path, "w") as log:
        process = subprocess.Popen(
            command, cwd=common.ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(limit)
            why = f"ended with {code}; {path.name} says why" if code else ""
        except subprocess.TimeoutExpired:
            why = f"stopped after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
                process.wait()
    if why:
        note(name, setting, FAILED, why, seconds=time.perf_counter() - started)


def table(setting: Setting) -> str:
    """The page of what is noted."""
    rows, commits, days = [], set(), set()
    for name in PARTS:
        found = noted(name, setting)
        if found is None:
            continue
        commits.add(found["commit"])
        days.add(found["day"])
        if found["status"] != DONE:
            rows.append((name, f"**{found['status']}**: {found['why']}", "", ""))
        rows += [(name, *row) for row in found["rows"]]
    shown = common.table(("part", "what", "median (least–most)", "target"), rows)
    if setting.dry:
        head = "# Dry run of benchmarks.gpu: nothing was measured\n\nEach part ran on a CPU at a tiny size."
    else:
        when = f"- {', '.join(sorted(days))}, at {', '.join(sorted(commits))}; `python -m benchmarks.gpu`"
        head = f"# On a GPU\n\n{where(setting)}\n{when}"
    return f"{head}\n\n{shown}\n"


def main(args: argparse.Namespace, start: Callable[[str, Setting, float], None] = apart) -> int:
    work = args.work or args.out / "work"
    setting = Setting(args.dry, args.out.resolve(), work.resolve(), args.cifake and args.cifake.resolve())
    setting.out.mkdir(parents=True, exist_ok=True)
    setting.work.mkdir(parents=True, exist_ok=True)
    if args.only:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        measure(args.only, setting)
        return 0
    page, results = setting.out / ("dry-run.md" if args.dry else "gpu.md"), []
    spent = sum(found["seconds"] for name in PARTS if (found := noted(name, setting)))
    for name in args.parts:
        found = noted(name, setting)
        left = 60 * args.minutes - spent
        if found and found["status"] == DONE:
            said = "done before"
        elif why := lacks(PARTS[name], setting, left):
            note(name, setting, SKIPPED, why)
            said = f"skipped: {why}"
        else:
            began = time.perf_counter()
            note(name, setting, FAILED, "was killed before its end")  # unless something else is noted
            start(name, setting, min(LIMIT, left))
            spent += time.perf_counter() - began
            ended = noted(name, setting) or {"status": FAILED, "why": ""}
            said = f"{ended['status']} {ended['why']}".strip()
        results.append(said)
        print(f"{spent:5.0f} s  {name}: {said}", flush=True)
        write_text(page, table(setting))
    print(page)
    failed, done = (any(said.startswith(status) for said in results) for status in (FAILED, DONE))
    return int(failed or not done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the table and of what each part found")
    parser.add_argument("--work", type=Path, help="folder of large files (default: OUT/work)")
    parser.add_argument("--cifake", type=Path, help="CIFAKE's archive, or the folder unpacked from it")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="these alone")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all parts, what was spent before too")
    parser.add_argument("--dry", action="store_true", help="each part at a tiny size on a CPU; measures nothing")
    parser.add_argument("--only", choices=list(PARTS), help=argparse.SUPPRESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the part under way ends too
    try:
        sys.exit(main(parser.parse_args()))
    except DetectorError as error:
        sys.exit(str(error))
