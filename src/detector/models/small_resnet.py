"""ResNet for small images: a first convolution that keeps every pixel, then three stages of one block each.

The form of He et al. (2016, "Deep residual learning for image recognition", section 4.2) for images of 32 px,
with one block a stage and twice the channels. Networks made for 224 px begin by quartering the side: what a
generator leaves in neighbouring pixels of a small image is gone before any block sees it.
"""

import torch
from torch import nn

from detector.models.resnet10 import Block

WIDTHS = (32, 64, 128)  # channels of each stage, whose maps have half the side of the one before


class SmallResNet(nn.Module):
    """Network with one logit, or as many as `classes`: float (n, 3, h, w) to (n, classes)."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = Block(WIDTHS[0], WIDTHS[0], 1)
        self.layer2 = Block(WIDTHS[0], WIDTHS[1], 2)
        self.layer3 = Block(WIDTHS[1], WIDTHS[2], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(WIDTHS[-1], classes)
        self.feature_info = [{"module": f"layer{stage}"} for stage in (1, 2, 3)]  # for heat maps
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of `images`."""
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(features), 1))
        return logits
