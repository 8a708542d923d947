"""How frames and pixels become latents: the strides of every Wan VAE of 16 channels, and what follows from them.

Apart from the network and the VAE, so that commands can check sizes without loading PyTorch.
"""

TEMPORAL_STRIDE = 4  # frames of each latent frame after the first, which is a single frame
SPATIAL_STRIDE = 8  # pixels, in both directions
SIZE_MULTIPLE = 16  # of width and height: the network takes 2 x 2 latent pixels at once


def is_clip_length(frames: int) -> bool:
    """Whether the VAE takes so many frames: 1, 5, 9, 13 ..."""
    return frames > 0 and frames % TEMPORAL_STRIDE == 1


def floored(side: float) -> int:
    """The longest side in pixels that the network takes, up to `side`; the shortest there is if that is too short."""
    return max(SIZE_MULTIPLE, int(side) // SIZE_MULTIPLE * SIZE_MULTIPLE)


def rounded(side: float) -> int:
    """The side in pixels that the network takes and that is nearest to `side`."""
    return max(SIZE_MULTIPLE, round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4k + 1 frames."""
    return (frames - 1) // TEMPORAL_STRIDE + 1


def latent_shape(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Latent frames, rows and columns of a clip of 4k + 1 frames, its sides in pixels."""
    return latent_frames(frames), height // SPATIAL_STRIDE, width // SPATIAL_STRIDE


CONTEXT_FRAMES = 5  # carried from segment to segment (released setting)
CONTEXT_LATENTS = latent_frames(CONTEXT_FRAMES)  # what those are to the VAE
