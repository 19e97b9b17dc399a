"""Small CNN: four convolutions, each with normalisation, ReLU and pooling, then an average and a linear layer."""

import torch
from torch import nn

WIDTHS = (32, 64, 128, 256)  # channels of each stage, whose maps have half the side of the one before


class SmallCnn(nn.Module):
    """Network with one logit, or as many as `classes`: float (n, 3, h, w) to (n, classes); h and w 16 or more."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        stages = [_stage(inputs, outputs) for inputs, outputs in zip((3, *WIDTHS), WIDTHS, strict=False)]
        self.stages = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(WIDTHS[-1], classes)
        self.feature_info = [{"module": f"stages.{number}"} for number in range(len(WIDTHS))]  # for heat maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of `images`."""
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(self.stages(images)), 1))
        return logits


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution of `inputs` channels to `outputs`, and half the side."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
