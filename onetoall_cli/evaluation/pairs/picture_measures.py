"""PSNR and SSIM of two pictures, uint8 (H, W, 3) RGB, in the forms that published tables use."""

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.evaluation import metrics
from onetoall_cli.evaluation.pairs.extra import package_folder

Picture = NDArray[np.uint8]

EQUAL = 100.0  # dB of equal pictures, whose PSNR is infinite; as the released scripts count them


def psnr(made: Picture, true: Picture) -> float:
    """Peak signal-to-noise ratio over all channels, dB; `EQUAL` for equal pictures."""
    error = np.square(made.astype(np.float64) - true).mean()
    return float(10 * np.log10(255**2 / error)) if error else EQUAL


def ssim(made: Picture, true: Picture) -> float:
    """Structural similarity of the colour channels under the usual 11 x 11 Gaussian window (Wang et al. 2004)."""
    return metrics.ssim(made[None], true[None])


def grey_ssim(made: Picture, true: Picture) -> float:
    """Structural similarity of grey 8-bit pictures under a uniform 7 x 7 window, as the released scripts have it."""
    grey_made, grey_true = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (made, true))
    return _uniform_ssim(grey_made, grey_true, window=7, channel_axis=None)


def wide_ssim(made: Picture, true: Picture) -> float:
    """Structural similarity of the colour channels under a uniform 51 x 51 window, as DeepFashion's tables have it."""
    return _uniform_ssim(made, true, window=51, channel_axis=2)


def _uniform_ssim(made: NDArray, true: NDArray, window: int, channel_axis: int | None) -> float:
    package_folder("skimage")
    from skimage.metrics import structural_similarity

    return float(structural_similarity(made, true, win_size=window, channel_axis=channel_axis, data_range=255))
