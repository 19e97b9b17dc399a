"""The overlay of a training: a small protocol that ends with a bundle, as a text for people to edit."""

import json
from dataclasses import dataclass
from pathlib import Path

from detector.core import extras
from detector.core.errors import DetectorError
from detector.core.labels import CLASSES
from detector.experiment import architectures
from detector.experiment.inits import PRETRAINED

NETWORK = f"tf_efficientnet_lite0{architectures.AT}{PRETRAINED}"  # what `pretrained` alone means
EXTRA = "start"  # which has its weights
OWN = "start"  # name in `inits` of a file that is given
FRACTIONS = (0.7, 0.15, 0.15)  # of a few hundred images more for a test than of a study's many thousands
BRANCH = "l1-30"  # of so few images a network without channels does not learn again what it lost
BATCH = 32


@dataclass(frozen=True)
class Effort:
    """How much is trained: epochs of the baseline, trials of one epoch, epochs of fine-tuning; and the control."""

    epochs: int
    trials: int
    tune: int
    control: bool = False  # whether the dense control is trained too, which says what pruning costs

    def __str__(self) -> str:
        control = " and of a dense control" if self.control else ""
        return (
            f"{self.epochs} epochs of training, {self.trials} trial{'s' if self.trials > 1 else ''} of an epoch, "
            f"{self.tune} epoch{'s' if self.tune > 1 else ''} of fine-tuning of the pruned branch{control}"
        )


# From the least that is worth it to the most that small data can use; of networks from weights, and from scratch.
FROM_WEIGHTS = (
    *(Effort(2, 1, 1), Effort(3, 1, 1), Effort(4, 2, 2), Effort(6, 2, 3), Effort(8, 3, 4)),
    *(Effort(8, 3, 4, True), Effort(12, 4, 6, True), Effort(16, 6, 8, True), Effort(24, 8, 12, True)),
)
FROM_SCRATCH = (
    *(Effort(4, 1, 2), Effort(8, 2, 3), Effort(15, 2, 5), Effort(20, 3, 6), Effort(20, 3, 6, True)),
    *(Effort(30, 4, 10, True), Effort(60, 6, 15, True), Effort(100, 8, 20, True)),
)


@dataclass(frozen=True)
class Choice:
    """What an overlay says: the folders and results as they are to be written, and how a network is trained."""

    results: str
    real: str
    fake: str
    bad: int  # unreadable images that are tolerated in each folder
    architecture: str
    init: str | None  # file that an architecture starts from, where it is not the library's own
    size: int
    threads: int
    effort: Effort


def started(start: str) -> tuple[str, str | None]:
    """Architecture and file of `--start`: `pretrained`, NETWORK, NETWORK@pretrained or NETWORK@FILE.

    Raises `DetectorError` for a network that nobody knows, and where `pretrained` needs a package.
    """
    if start == PRETRAINED:
        try:
            extras.check(EXTRA, f"--start {PRETRAINED}")
        except DetectorError as error:
            raise DetectorError(
                f"{error}; or train from scratch, which needs more images: --start resnet18"
            ) from None
        return NETWORK, None
    # Not by `architectures.start`: a path may have any character.
    name, at, init = start.partition(architectures.AT)
    if why := architectures.problem(name):
        raise DetectorError(f"--start: {why}; or {PRETRAINED}, which is {NETWORK}")
    if not at or init == PRETRAINED:
        return start, None
    if not init or not Path(init).exists():
        found = f"no file {init}" if init else f"nothing after the {architectures.AT}"
        raise DetectorError(
            f"--start: found {found}, expected {PRETRAINED} or weights there: a .safetensors, a .pth, a variant "
            "or a bundle"
        )
    return f"{name}{architectures.AT}{OWN}", init


def efforts(architecture: str) -> tuple[Effort, ...]:
    """What can be chosen from for an architecture, the least first."""
    return FROM_SCRATCH if architectures.start(architecture) is None else FROM_WEIGHTS


def text(choice: Choice) -> str:
    """The overlay as YAML."""
    effort = choice.effort
    inits = f"inits: {{{OWN}: {_quoted(choice.init)}}}\n" if choice.init else ""
    scratch = architectures.start(choice.architecture) is None
    rate, low, high = ("1.0e-3", "1.0e-4", "1.0e-3") if scratch else ("2.0e-3", "3.0e-5", "3.0e-4")
    # A new head on features that were learned from a million images: it first learns alone, then drags them along.
    starting = "" if scratch else f"\n  head: zero\n  freeze: {effort.epochs // 3}\n  body_rate: 0.1"
    real, fake = CLASSES[1], CLASSES[0]
    return f"""\
# Written by `detector train`: what is not as config.yaml has it (docs/configuration.md says what each key means).
# Edit it and give the same command again: what a change concerns is done again, and all else stays.
results: {choice.results}

data:
  use: [{real}, {fake}]
  sources:                        # folders below those of fakes are generators
    {real}: {{type: folder, label: {real}, root: {_quoted(choice.real)}}}
    {fake}: {{type: folder, label: {fake}, root: {_quoted(choice.fake)}}}
  fractions: {list(FRACTIONS)}   # to train, to choose by, to test
  max_bad_images: {choice.bad}               # unreadable files in each folder that are left out (data/*/bad.csv)

audit: {{on_leak: drop}}            # a copy of a training image is not tested on

images: {{size: {choice.size}}}               # pixels a side that the network sees
architectures: [{_quoted(choice.architecture)}]
{inits}
train:
  optimizer: AdamW
  learning_rate: {rate}{starting}
  weight_decay: 0.01
  label_smoothing: 0.1
  schedule: one_cycle
  batch_size: {BATCH}
  epochs: {effort.epochs}
  patience: {effort.epochs}
  balance: weights                # of ten photographs and one fake a network learns to say real
  select: balanced_accuracy

# One branch with zeros for weights beside the baseline; both are tested and bundled. The dense control is the
# baseline trained further with nothing pruned: what pruning costs is the difference from it. With thousands of
# images `channels: [0.5]` is smaller and faster.
prune: {{methods: {{l1: [0.30]}}, dense_control: {str(effort.control).lower()}}}
search:
  share: all
  trials: {effort.trials}
  epochs: 1
  batch_size: {BATCH}
  optimizers: [AdamW]
  learning_rate: [{low}, {high}]
finetune: {{epochs: {effort.tune}, patience: {effort.tune}, batch_size: {BATCH}}}

latency: {{warmup: 3, rounds: 10}}
deploy: {{branches: [{BRANCH}], calibration_images: 64, max_drop: 0.02}}
robustness: {{use: []}}             # or [jpeg-75, screenshot]: how it does on copies that were shared
gradcam: {{branches: []}}           # or [baseline]: where it looks
runtime: {{threads: {choice.threads}, workers: {choice.threads}}}
"""


def _quoted(value: str | None) -> str:
    return json.dumps(value, ensure_ascii=False)
