"""ResNet-18 with Gram blocks: what channels do together over the whole image, beside what is where.

After Liu, Qi and Torr 2020, "Global Texture Enhancement for Fake Face Detection In the Wild" (CVPR), section 5.
"""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

ALIGNED, BETWEEN, FOUND = 32, 16, 32  # channels of a Gram block: of its matrix, of its layers, of what it gives
LAST = 512  # channels of a ResNet-18's last stage
FROM = (3, 64, 64, 64, 128, 256)  # channels that each block starts from: image, stem, pooled stem, three stages


class GramBlock(nn.Module):
    """Texture over all positions: maps float (n, channels, h, w) to features (n, 32).

    A convolution aligns the channels; their Gram matrix G_ij = sum over positions of F_i F_j (Gatys et al. 2016,
    Liu et al. 2020, equation 3) is divided by channels and positions; two convolutions and an average over it make
    the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.align = _convolution(channels, ALIGNED, 1)
        self.refine = nn.Sequential(_convolution(1, BETWEEN, 2), _convolution(BETWEEN, FOUND, 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.outputs = FOUND

    def inputs(self) -> nn.Module:
        """The convolution that takes `maps`: where channels before the block are removed, its inputs go along."""
        return self.align[0]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Features of `maps`."""
        aligned = self.align(maps).flatten(2)
        # Divided before the product: a sum over all positions is too large for half precision.
        aligned = aligned / (aligned.shape[1] * aligned.shape[2]) ** 0.5
        matrix = aligned @ aligned.transpose(1, 2)
        return torch.flatten(self.avgpool(self.refine(matrix.unsqueeze(1))), 1)


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A convolution of 3 x 3 with normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class GramResNet18(ResNet):
    """Network with one logit, or as many as `classes`: float (n, 3, h, w) to (n, classes).

    torchvision's ResNet-18 with a Gram block on the image, on the stem before and after its pooling, and on what
    each of the first three stages gives; the features of all stand beside the average of the last stage.
    """

    def __init__(self, classes: int = 1) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=classes)
        self.grams = nn.ModuleList(GramBlock(channels) for channels in FROM)
        self.fc = nn.Linear(LAST + len(FROM) * FOUND, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of `images`."""
        stem = self.relu(self.bn1(self.conv1(images)))
        pooled = self.maxpool(stem)
        first = self.layer1(pooled)
        second = self.layer2(first)
        third = self.layer3(second)
        last = torch.flatten(self.avgpool(self.layer4(third)), 1)
        maps = (images, stem, pooled, first, second, third)
        textures = [gram(of) for gram, of in zip(self.grams, maps, strict=True)]
        logits: torch.Tensor = self.fc(torch.cat([last, *textures], 1))
        return logits
