"""Systems as modules: from images to logits in one pass, as a network is, so that one way times both."""

from collections.abc import Sequence

import torch
from torch import nn

from detector.models import classifiers
from detector.models.features import Body
from detector.stats.spectra import spectrum


class Classified(nn.Module):
    """A fitted classifier behind what gives its features: maps images (n, 3, h, w) to logits, float64 (n,).

    `body`: the network that gives them, for images normalised as it expects; None for spectra, of pixels from 0 to
    255. `arrays`: as in `classifiers`. Each image is a sequence of one to a classifier of sequences.
    """

    def __init__(self, arrays: classifiers.Arrays, body: Body | None):
        super().__init__()
        self.arrays, self.body = arrays, body
        if body is not None:
            self.origin = body.model.origin  # by which its layout is chosen

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images, on the CPU."""
        if self.body is None:
            pixels = images.permute(0, 2, 3, 1).cpu().numpy()
            values = spectrum(pixels, range(len(pixels))).profiles
        else:
            values = self.body(images).cpu().numpy()
        return torch.from_numpy(classifiers.logits(self.arrays, values))


class Mean(nn.Module):
    """The mean of networks of one architecture: maps images (n, 3, h, w) to logits, float32 (n, 1)."""

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        self.models = nn.ModuleList(models)
        self.origin = models[0].origin

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mean logits of images, one network after another."""
        return torch.stack([model(images) for model in self.models]).mean(0)
