"""The semantic networks: an image [B, H, W, C] in, class logits [B, H, W, K] of every pixel out.

One file each; `registry.py` is the table of them, `parts.py` what several of them use. Logits are
float32 in every precision. K is 1 for the logit of "landslide" alone (sigmoid), else background
and classes (softmax). H and W are any: a network that needs a multiple of something pads inside,
and crops its logits.
"""
