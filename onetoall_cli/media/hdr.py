"""High dynamic range to sRGB: phones record HLG (iPhone) or PQ (Android, cameras) with BT.2020 colours.

Light is decoded to nits (ITU-R BT.2100), diffuse white (203 nits, BT.2408) becomes white with room for highlights above
it, colours are brought to BT.709 (BT.2087) and what is still too bright rolls off smoothly.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18  # H.273 TransferCharacteristics
_WHITE_NITS = 203.0
_PEAK_NITS = 1000.0  # HLG's nominal display, and the usual mastering peak of PQ
_HLG_GAMMA = 1.2  # system gamma at 1000 nits
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_KNEE = 0.5  # of white: below it light is kept as it is


def to_sdr(signal: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """Convert full-range R'G'B' (H, W, 3) of a `PQ` or `HLG` video to uint8 sRGB."""
    light = _decode_table(transfer)[signal]  # 1 = diffuse white
    if transfer == HLG:
        luminance = (light @ _LUMA_2020)[..., None]
        light = light * np.power(np.maximum(luminance, 1e-6), _HLG_GAMMA - 1) * (_PEAK_NITS / _WHITE_NITS)
    light = np.maximum(light @ _TO_BT709.T, 0)
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    light = np.minimum(light * (_roll_off(brightest) / brightest), 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


@cache
def _decode_table(transfer: int) -> NDArray[np.float32]:
    """Light for every 16-bit signal value: PQ in units of diffuse white, HLG as scene light 0..1."""
    signal = np.arange(65536) / 65535
    if transfer == PQ:
        root = signal ** (32 / 2523)
        nits = 10000 * (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)
        return (nits / _WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return scene.astype(np.float32)


def _roll_off(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Identity up to the knee, then an extended Reinhard curve that reaches 1 at the peak with no kink."""
    span = (_PEAK_NITS / _WHITE_NITS - _KNEE) / (1 - _KNEE)
    above = np.minimum(np.maximum(light - _KNEE, 0) / (1 - _KNEE), span)
    return np.where(light <= _KNEE, light, _KNEE + (1 - _KNEE) * above * (1 + above / span**2) / (1 + above))
