"""Backbones: an image [B, H, W, C] in, the pyramid C2..C5 out (strides 4, 8, 16, 32)."""
