"""What is measured on a GPU: rows of a table by each part, and what parts share. `benchmarks.gpu` runs them."""

import argparse
import itertools
import multiprocessing
import os
import shutil
import signal
import statistics
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
from detector.core import job, locks
from detector.core.files import replacing
from detector.imaging.preprocessing import Preprocessing, load
from detector.models import devices, inference, networks
from detector.models.batches import PREFETCHED, RESIDENT, Batches
from detector.pruning import masks
from detector.stats import decisions, intervals
from detector.training import search
from detector.training.fit import fit
from detector.training.recipe import Recipe
from detector.training.resume import ResumeState

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
        precision="auto",
        cpu_seconds=False,
    )


def masked(setting: Setting) -> Iterator[Row]:
    """A training step that keeps 40 % of the weights at zero, against a dense one."""
    arch, size, batch = setting.of("resnet50", "small_cnn"), setting.of(224, 16), setting.of(64, 4)
    plan = setting.plan(size)
    images, labels = next(drawn(plan, batch, size).train(batch, seed=0, epoch=1, flip=0.5))

    def side(sparse: bool) -> Callable[[], float]:
        model = plan.place(networks.build(arch)).train()
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
        yield f"{arch}, {size} px, batch {batch}: {name} step, ms", common.spread(found, 1000, 2), ""
    yield "masked × dense", common.ratio(seconds["masked"], seconds["dense"])[1], ""


def evaluation(setting: Setting) -> Iterator[Row]:
    """Logits as `predict` computes them, fp32."""
    arch, size, count = setting.of("resnet50", "small_cnn"), setting.of(224, 16), setting.of(4096, 8)
    plan = setting.plan(size, "fp32")
    model = networks.build(arch)
    batches = drawn(plan, count, size)
    seconds = common.interleave(
        {"all": timed(setting, lambda: inference.logits(model, batches, plan), 1)}, setting.of(5, 1)
    )
    rates = [count / each for each in seconds["all"]]
    yield f"{arch}, {size} px, fp32 without TF32: images/s", common.spread(rates, digits=0), ""


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
    arch = setting.of("resnet18", "small_cnn")
    train, valid, test, label = cifake(setting)
    right = {}
    for name in ("fp32", "bf16"):
        plan = setting.plan(32, name)
        recipe = Recipe("Adam", 1e-3, 256, epochs=setting.of(3, 1), patience=None, flip=0.5, seed=0)
        model = networks.build(arch, seed=0, size=32)
        result = fit(model, train(plan), valid(plan), recipe, plan, title=name)
        exact = setting.plan(32, "fp32")  # logits are fp32 whatever training used
        right[name] = decisions.right(label, inference.logits(model, test(exact), exact))
        rates = [row.images_per_second for row in result.history]
        yield f"{arch}, 32 px, {name}: training, images/s", common.spread(rates, digits=0), ""
        yield f"{arch}, 32 px, {name}: test accuracy after {recipe.epochs} epochs", accuracy(right[name]), ""
    low, high = (100 * bound for bound in intervals.paired_interval(right["fp32"], right["bf16"]))
    points = 100 * (right["bf16"].mean() - right["fp32"].mean())
    yield "bf16 less fp32, points", f"{points:+.2f} ({low:+.2f} to {high:+.2f})", ""


def baseline(setting: Setting) -> Iterator[Row]:
    """All of CIFAKE at 32 px; goes on where it was stopped, while `--work` is there."""
    arch = setting.of("resnet18", "small_cnn")
    train, valid, test, label = cifake(setting)
    plan, exact = setting.plan(32), setting.plan(32, "fp32")
    more = {"weight_decay": 0.05, "schedule": "one_cycle"}
    recipe = Recipe("AdamW", 1e-3, 128, epochs=setting.of(15, 1), patience=None, flip=0.5, seed=0, **more)
    model = networks.build(arch, seed=0, size=32)
    result = fit(
        *(model, train(plan), valid(plan), recipe, plan),
        state=ResumeState(setting.work / "baseline"),
        title="baseline",
    )
    found = decisions.right(label, inference.logits(model, test(exact), exact))
    seconds = sum(row.seconds for row in result.history)
    yield f"{arch}, 32 px, {len(train(plan)):,} training images: test accuracy", accuracy(found), ""
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
