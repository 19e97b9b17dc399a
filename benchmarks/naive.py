"""Baseline to compare with: the study's protocol as one writes it from PyTorch's tutorials.

Files are decoded, resized and turned into tensors by PIL and torchvision's transforms in a DataLoader, each time
anew; fp32 in PyTorch's default layout; Adam and SGD as they come; `torch.nn.utils.prune` with its masks kept by
reparametrisation; one process for everything.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import optuna
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_loader(folder: Path, size: int, batch_size: int, train: bool, workers: int) -> DataLoader:
    """Batches of float32 (n, 3, size, size) and class numbers from `folder`/{fake,real}/: 0 = fake, 1 = real."""
    steps = [transforms.Resize((size, size))]
    if train:
        steps.append(transforms.RandomHorizontalFlip())
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return DataLoader(
        ImageFolder(folder, transforms.Compose(steps)),
        batch_size=batch_size,
        shuffle=train,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def make_model(arch: str) -> nn.Module:
    return models.get_model(arch, weights=None, num_classes=1)


def make_optimizer(name: str, model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    return {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}[name](model.parameters(), lr=learning_rate)


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> float:
    optimizer.zero_grad()
    outputs = model(images).squeeze(1)
    loss = nn.functional.binary_cross_entropy_with_logits(outputs, labels.float())
    loss.backward()
    optimizer.step()
    return loss.item()


def train_epoch(
    model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, device: torch.device
) -> float:
    """The mean loss of an epoch."""
    model.train()
    running = 0.0
    for images, labels in loader:
        running += train_step(model, optimizer, images.to(device), labels.to(device))
    return running / len(loader)


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, device: torch.device) -> tuple[int, int]:
    """Number of images classified correctly, and of all."""
    model.eval()
    correct = total = 0
    for images, labels in loader:
        outputs = model(images.to(device)).squeeze(1)
        correct += ((outputs > 0).long() == labels.to(device)).sum().item()
        total += len(labels)
    return correct, total


def fit(
    model: nn.Module,
    train: DataLoader,
    valid: DataLoader,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    device: torch.device,
) -> float:
    """Train, go back to the best weights, and return their validation accuracy."""
    best, best_weights = -1.0, None
    for epoch in range(epochs):
        loss = train_epoch(model, train, optimizer, device)
        correct, total = evaluate(model, valid, device)
        print(
            f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, validation accuracy {correct / total:.4f}", flush=True
        )
        if correct / total > best:
            best, best_weights = correct / total, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return best


def prunable(model: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(m, "weight") for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def pruned(baseline: nn.Module, sparsity: float) -> nn.Module:
    """A copy with the `sparsity` share of smallest weights masked, the masks kept while it trains."""
    model = copy.deepcopy(baseline)
    prune.global_unstructured(prunable(model), pruning_method=prune.L1Unstructured, amount=sparsity)
    return model


def protocol(args: argparse.Namespace) -> dict:
    """Baseline; for each sparsity a search and a fine-tuned model; all models on validation and test images.

    Returns the right and all test images of each model, and the seconds each part took.
    """
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size, workers = args.size, args.workers
    valid = make_loader(args.images / "valid", size, args.batch, False, workers)
    test = make_loader(args.images / "test", size, args.batch, False, workers)
    train = make_loader(args.images / "train", size, args.baseline_batch, True, workers)
    seconds = {}

    started = time.perf_counter()
    baseline = make_model(args.arch).to(device)
    fit(baseline, train, valid, make_optimizer("Adam", baseline, args.learning_rate), args.epochs, device)
    seconds["baseline"] = time.perf_counter() - started
    trained = {"baseline": baseline}

    train = make_loader(args.images / "train", size, args.batch, True, workers)
    for sparsity in args.sparsities:
        started = time.perf_counter()

        def objective(trial: optuna.Trial, sparsity: float = sparsity) -> float:
            model = pruned(baseline, sparsity)
            name = trial.suggest_categorical("optimizer", ["Adam", "SGD"])
            rate = trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True)
            return fit(model, train, valid, make_optimizer(name, model, rate), args.trial_epochs, device)

        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=args.seed))
        study.optimize(objective, n_trials=args.trials)
        model = pruned(baseline, sparsity)
        best = study.best_params
        optimizer = make_optimizer(best["optimizer"], model, best["learning_rate"])
        fit(model, train, valid, optimizer, args.finetune_epochs, device)
        for module, name in prunable(model):
            prune.remove(module, name)
        branch = f"l1-{round(100 * sparsity):02d}"
        trained[branch] = model
        seconds[branch] = time.perf_counter() - started

    started = time.perf_counter()
    results = {}
    for name, model in trained.items():
        results[name] = {"valid": evaluate(model, valid, device), "test": evaluate(model, test, device)}
    seconds["evaluation"] = time.perf_counter() - started
    return {"results": results, "seconds": seconds}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The protocol's settings; `end_to_end.py` gives the same to both sides."""
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--baseline-batch", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64, help="of search, fine-tuning and evaluation")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of the baseline, by Adam")
    parser.add_argument("--epochs", type=int, default=3, help="of the baseline")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.4])
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--trial-epochs", type=int, default=3)
    parser.add_argument("--finetune-epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of {train,valid,test}/{fake,real}/")
    add_arguments(parser)
    parser.add_argument("--workers", type=int, default=2, help="processes that load images")
    parser.add_argument("--threads", type=int, help="default: PyTorch's own, one a core")
    parser.add_argument("--out", type=Path, help="JSON to write: accuracies and seconds")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    report = json.dumps(protocol(args), indent=2)
    print(report)
    if args.out:
        args.out.write_text(report + "\n")
