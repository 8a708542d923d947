"""The protocols: what each metric exactly computes, where published tables differ."""

from collections.abc import Callable
from dataclasses import dataclass

from onetoall_cli.evaluation.pairs.picture_measures import Picture, grey_ssim, ssim, wide_ssim


@dataclass(frozen=True)
class Protocol:
    """One way to compute the metrics.

    Attributes:
        name: As on the command line.
        ssim: Structural similarity of two pictures.
        lpips: The catalogue entry of LPIPS's network.
        lpips_from_zero: Whether LPIPS is fed [0, 1], though its networks expect [-1, 1].
        fid: The catalogue entry of FID's network.
        fvd_window: Frames that I3D sees at once, each window a vector of its own; None: the whole clip, one vector.
        cuts: Whether the longer of two clips is cut to the shorter; otherwise unlike lengths are an error.
        least_side: The smallest short side in pixels that every metric can take.
        says: The lines under a table.
    """

    name: str
    ssim: Callable[[Picture, Picture], float]
    lpips: str
    lpips_from_zero: bool
    fid: str
    fvd_window: int | None
    cuts: bool
    least_side: int
    says: str


# "default" is what the field holds right today. "disco" is the arithmetic of the scripts released for the paper's
# video tables (DisCo's). "cfld" is that of the baseline in its DeepFashion tables (Lu et al., CVPR 2024).
PROTOCOLS = {
    each.name: each
    for each in (
        Protocol(
            name="default",
            ssim=ssim,
            lpips="lpips-vgg",
            lpips_from_zero=False,
            fid="inception",
            fvd_window=16,
            cuts=False,
            least_side=32,
            says="SSIM in colour, Gaussian 11 x 11; LPIPS VGG, normalised; FVD over windows of 16 frames.",
        ),
        Protocol(
            name="disco",
            ssim=grey_ssim,
            lpips="lpips-vgg",
            lpips_from_zero=True,
            fid="inception",
            fvd_window=None,
            cuts=True,
            least_side=32,
            says="SSIM in grey, 7 x 7; LPIPS VGG, fed [0, 1]; FVD over whole clips; cut to the shorter.",
        ),
        Protocol(
            name="cfld",
            ssim=wide_ssim,
            lpips="lpips-alex",
            lpips_from_zero=False,
            fid="inception-tv",
            fvd_window=None,
            cuts=True,
            least_side=64,
            says="SSIM in colour, 51 x 51; LPIPS AlexNet, normalised; FID with torchvision's Inception-v3.",
        ),
    )
}
