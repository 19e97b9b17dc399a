"""Self-attention with several heads over the positions of a map, as a layer of a CNN."""

import torch
from torch import nn
from torch.nn import functional

HEAD_WIDTH = 64  # channels of a head, as in Vaswani et al. 2017


class SelfAttention(nn.Module):
    """Multi-head self-attention with a way around it: maps float (n, channels, h, w) to maps of the same shape.

    Each position is a token. Of queries Q, keys K and values V of each head, softmax(Q K^T / sqrt(d)) V with d the
    head's width, all heads side by side and projected (Vaswani et al. 2017, "Attention Is All You Need", 3.2).
    Positions are told by the padding of the convolutions before it alone. Layers of queries and so on are layers,
    not the bare parameters of torch's `MultiheadAttention`, so that masks and int8 reach them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = channels // HEAD_WIDTH, HEAD_WIDTH
        self.attn_dim = self.num_heads * self.head_dim
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Add to each position of `maps` what it attends to."""
        tokens = maps.flatten(2).transpose(1, 2)
        n, positions, _ = tokens.shape
        # the width of a head stays where heads, or channels of the tokens, were removed
        each = self.qkv(self.norm(tokens)).reshape(n, positions, 3, self.num_heads, self.head_dim)
        query, key, value = each.permute(2, 0, 3, 1, 4).unbind(0)
        found = functional.scaled_dot_product_attention(query, key, value)
        found = self.proj(found.transpose(1, 2).reshape(n, positions, self.attn_dim))
        return maps + found.transpose(1, 2).unflatten(2, maps.shape[2:])
