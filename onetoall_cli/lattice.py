"""The latent grid of frames and pixels: the strides of Wan VAEs with 16 channels, and sizes that follow from them.

A module without PyTorch, so that commands can check sizes without loading it.
"""

TEMPORAL_STRIDE = 4  # frames of each latent frame after the first, which is a single frame
SPATIAL_STRIDE = 8  # pixels, in both directions
SIZE_MULTIPLE = 16  # of width and height: the network takes 2 x 2 latent pixels at once


def is_clip_length(frames: int) -> bool:
    """Whether the VAE accepts this number of frames: 1, 5, 9, 13 ..."""
    return frames > 0 and frames % TEMPORAL_STRIDE == 1


def floored(side: float) -> int:
    """The largest multiple of 16 up to `side`, in pixels, at least 16."""
    return max(SIZE_MULTIPLE, int(side) // SIZE_MULTIPLE * SIZE_MULTIPLE)


def rounded(side: float) -> int:
    """The multiple of 16 nearest to `side`, in pixels, at least 16."""
    return max(SIZE_MULTIPLE, round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4k + 1 frames."""
    return (frames - 1) // TEMPORAL_STRIDE + 1


def latent_shape(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Latent frames, rows and columns of a clip of 4k + 1 frames, its sides in pixels."""
    return latent_frames(frames), height // SPATIAL_STRIDE, width // SPATIAL_STRIDE


CONTEXT_FRAMES = 5  # frames carried from segment to segment (released setting)
CONTEXT_LATENTS = latent_frames(CONTEXT_FRAMES)
