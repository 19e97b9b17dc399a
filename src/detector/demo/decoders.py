"""Demo generators: small autoencoders that leave the traces of learned upsampling (references in `generate`)."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

STEPS = 20  # of a training


@contextmanager
def _reproducible() -> Iterator[None]:
    """One thread of torch, since floating-point sums depend on how many share them; its settings come back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _upsampler(kind: str, channels: int, out: int) -> nn.Module:
    """A layer that doubles height and width, as generators do it."""
    if kind == "transposed4":
        return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
    if kind == "transposed3":
        return nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1)
    if kind == "transposed2":
        return nn.ConvTranspose2d(channels, out, 2, stride=2)
    if kind == "shuffle":
        return nn.Sequential(nn.Conv2d(channels, 4 * out, 3, padding=1), nn.PixelShuffle(2))
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=kind), nn.Conv2d(channels, out, 3, padding=1))


class Autoencoder(nn.Module):
    """Autoencoder of images, float (n, 3, h, w) in 0..1; its code has 16 channels at half the height and width."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 4, stride=2, padding=1), nn.SiLU(), _upsampler(kind, 16, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode and decode images: float (n, 3, h, w) in 0..1 to the same shape and range."""
        return self.layers(images - 0.5) + 0.5


@_reproducible()
def trained(kind: str, pictures: np.ndarray, crop: int, rng: np.random.Generator) -> Autoencoder:
    """Autoencoder with an upsampler of this kind, trained by mean squared error.

    `pictures`: float32 (n, h, w, 3) in 0..1, of which it sees squares of `crop` pixels a side. Stopped early: the
    longer it learns, the fainter its traces, and the demo's detectors have minutes.
    """
    torch.manual_seed(int(rng.integers(2**31)))
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    model = Autoencoder(kind)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=STEPS)
    for _ in range(STEPS):
        top, left = rng.integers(0, pictures.shape[1] - crop + 1, 2)
        batch = images[rng.integers(0, len(images), 16), :, top : top + crop, left : left + crop]
        loss = nn.functional.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


@_reproducible()
@torch.inference_mode()
def decoded(model: nn.Module, frames: np.ndarray) -> np.ndarray:
    """Pass frames (n, h, w, 3) through the autoencoder, then restore each channel's mean and power spectrum.

    Squared error makes blurred images, which a mere sharpness filter would detect; a discriminator would have
    sharpened them. It would not have removed what stays: where on the pixel grid the detail lies, and how the
    detail of one colour follows that of another.
    """
    out = model(torch.from_numpy(frames).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    height, width = frames.shape[1:3]
    old, new = (np.fft.rfft2(images, axes=(1, 2)) for images in (frames, out))
    # the spectrum averaged over directions: power in rings of equal frequency
    rings = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * max(height, width)
    rings = np.rint(rings).astype(int)
    for channel in range(3):
        power = [np.bincount(rings.ravel(), (abs(x[..., channel]) ** 2).sum(0).ravel()) for x in (old, new)]
        new[..., channel] *= np.sqrt(power[0] / np.maximum(power[1], 1e-12))[rings]
    return np.fft.irfft2(new, s=(height, width), axes=(1, 2)).astype(np.float32)
