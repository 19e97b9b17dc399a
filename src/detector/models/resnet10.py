"""ResNet with one block per stage, which torchvision has no name for: its layers, names and weights of a seed.

Written out, for with torchvision comes torch's compiler: half of the start of a stage that trains nothing.
"""

import torch
from torch import nn

WIDTHS = (64, 128, 256, 512)  # channels of each stage


class Block(nn.Module):
    """Two convolutions and a way around them: `inputs` channels to `outputs`, `stride` times smaller."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # The first to be drawn, the last by name.
        around = None
        if stride > 1:
            around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = around

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Add what the convolutions make of `images` to what goes around them."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(images)))))
        out += images if self.downsample is None else self.downsample(images)
        return self.relu(out)


class ResNet10(nn.Module):
    """Network with one logit, or as many as `classes`: float (n, 3, h, w) to (n, classes)."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(WIDTHS[0], WIDTHS[0], 1))
        self.layer2 = nn.Sequential(Block(WIDTHS[0], WIDTHS[1], 2))
        self.layer3 = nn.Sequential(Block(WIDTHS[1], WIDTHS[2], 2))
        self.layer4 = nn.Sequential(Block(WIDTHS[2], WIDTHS[3], 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(WIDTHS[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of `images`."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(features), 1))
        return logits
