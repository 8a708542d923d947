"""Animate a character: one reference picture of any framing, one driving motion (One-to-All Animation, CVPR 2026)."""

__version__ = "0.1.0"
