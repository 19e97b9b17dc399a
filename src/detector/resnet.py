"""ResNets (He et al. 2016; a bottleneck's stride is in its 3×3 convolution), weight for weight torchvision's.

Names, order and first values of the weights and every step of the arithmetic are the same
(`tests/test_models.py` compares them). torchvision itself is not imported because that loads torch's compiler,
`torch._dynamo`: as much time again as torch, in each stage that only runs a network.
"""

from collections.abc import Sequence

import torch
from torch import nn

STAGES = (64, 128, 256, 512)  # channels of the 3×3 convolutions


def _conv(before: int, after: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, side, stride, padding=side // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and the way around them."""

    EXPANSION = 1

    def __init__(self, before: int, width: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = _conv(before, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, and the way around them."""

    EXPANSION = 4

    def __init__(self, before: int, width: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = _conv(before, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * self.EXPANSION, 1)
        self.bn3 = nn.BatchNorm2d(width * self.EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """Maps float (n, 3, h, w) to (n, 1). `blocks`: how many in each of the four stages."""

    def __init__(self, block: type[BasicBlock | Bottleneck], blocks: Sequence[int]):
        super().__init__()
        self.conv1 = nn.Conv2d(3, STAGES[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGES[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        before = STAGES[0]
        for number, (width, count) in enumerate(zip(STAGES, blocks, strict=True), start=1):
            setattr(self, f"layer{number}", _stage(block, before, width, count, stride=1 if number == 1 else 2))
            before = width * block.EXPANSION
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(before, 1)
        for module in self.modules():  # batch normalisation starts with ones and zeros by itself
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(
    block: type[BasicBlock | Bottleneck], before: int, width: int, count: int, stride: int
) -> nn.Sequential:
    after, downsample = width * block.EXPANSION, None
    if stride != 1 or before != after:
        downsample = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))
    first = block(before, width, stride, downsample)
    return nn.Sequential(first, *(block(after, width, 1, None) for _ in range(count - 1)))


def resnet18() -> ResNet:
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet34() -> ResNet:
    return ResNet(BasicBlock, (3, 4, 6, 3))


def resnet50() -> ResNet:
    return ResNet(Bottleneck, (3, 4, 6, 3))
