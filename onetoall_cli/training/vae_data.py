"""Data of VAE training: its settings, and batches of puppets, masked puppets, masks and black pictures."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import Self

from onetoall_cli.lattice import is_clip_length
from onetoall_cli.model.pixels import to_tensor
from onetoall_cli.puppets import MOVE_FRAMES, Split, sample_scene
from onetoall_cli.training.settings import Count, CountOrNone, NotNegative, Place, Positive, Settings

_MOVING_OF = 6  # random crops to choose from for `moving`
_MASK_PART, _BLACK_PART, _MASKED_PART = 0.1, 0.02, 0.12  # shares of the samples; the others are plain pictures
# Width, height of whole pictures of 128 pixels on the short side.
_SIZES = ((128, 192), (128, 160), (128, 128), (192, 128), (144, 208))


class Phase(Settings):
    """Consecutive steps with one kind of batch."""

    steps: Count
    """Number of steps."""
    batch: Annotated[int, Field(ge=1, le=4096)]
    """Samples in a step."""
    crop: Annotated[int, Field(ge=0, le=4096, multiple_of=8)] = 64
    """Side of square crops in pixels; 0 takes whole pictures."""
    frames: Annotated[int, Field(ge=1, le=1001)] = 1
    """1 for stills, else 4k + 1."""
    moving: bool = False
    """Whether to take the crop with the most movement of several, and no masks or black pictures. It teaches the frames
    between two latent frames."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not is_clip_length(self.frames):
            raise ValueError("should have 4k + 1 frames")
        if self.moving and (self.frames == 1 or not self.crop):
            raise ValueError("should have moving only for crops of clips: set frames and crop")
        return self


class VaeNetworkSettings(Settings):
    """Sizes of a VAE with random weights; what is left out is Wan2.1's."""

    base_dim: Annotated[int, Field(ge=1, le=4096)] = 24
    """Channels of the first stage."""
    num_res_blocks: Annotated[int, Field(ge=1, le=32)] = 1
    """Residual blocks of a stage."""
    dim_mult: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)] | None = None
    """Channels of the stages, in multiples of the first."""
    temperal_downsample: tuple[bool, ...] | None = None
    """Which of the stages halve time."""
    patch_size: Annotated[int, Field(ge=1, le=16)] | None = None
    """Side of the pixel blocks that enter as channels."""
    in_channels: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Channels that enter: 3, or 3 times the square of `patch_size`."""
    out_channels: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Channels that leave: the same."""
    is_residual: bool | None = None
    """Whether the stages have shortcuts, as in Wan2.2's VAE."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        stages = len(self.dim_mult) if self.dim_mult else 4
        if self.temperal_downsample is not None and len(self.temperal_downsample) != stages - 1:
            raise ValueError("should have one value of temperal_downsample less than of dim_mult")
        if self.temperal_downsample is None and stages != 4:
            raise ValueError("should have temperal_downsample too, one value less than dim_mult")
        channels = 3 * (self.patch_size or 1) ** 2
        if (self.in_channels or 3) != channels or (self.out_channels or 3) != channels:
            raise ValueError("should have in_channels and out_channels of 3 times the square of patch_size")
        return self

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments of `AutoencoderKLWan` besides `z_dim`."""
        return self.model_dump(mode="json", exclude_none=True)


class VaeSettings(Settings):
    """The settings of a VAE training."""

    output: Place
    """Folder of the run."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    """The phases in order."""
    short_side: Annotated[int, Field(ge=64, le=4096, multiple_of=64)] = 128
    """Short side of whole pictures in pixels, roughly; movement grows with it."""
    model: VaeNetworkSettings = VaeNetworkSettings()
    """Sizes; the VAE has 16 latent channels."""
    init_from: Place | None = None
    """Folder of a VAE to continue from instead of random weights; `model` is then ignored."""
    train: Literal["all", "decoder"] = "all"
    """"decoder" keeps the encoder and the latents' statistics, so that networks trained on them still fit."""
    latent_frame: Literal["free", "last"] = "free"
    """"free": the training decides what a latent frame holds of its four frames. "last": a latent frame equals the
    latent of a still of the last of them, and the decoder interpolates between latent frames."""
    lr: NotNegative = 5e-4
    """First learning rate of a cosine."""
    final_lr: NotNegative = 4e-5
    """Last learning rate."""
    warmup: Count = 100
    """Steps at the start of every phase over which the learning rate rises from zero."""
    kl_weight: NotNegative = 2e-4
    """Weight of the KL term, of L1's 1."""
    gradient_weight: NotNegative = 1.0
    """Weight of the L1 of gradients."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the averaged weights, which are saved at the end; 0 saves the trained ones."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of data, noise and random weights."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """CPU threads of torch."""
    bf16: bool = True
    """Whether to compute in bfloat16 (weights are kept in float32)."""
    checkpoint_every: Count = 250
    """Steps between checkpoints."""
    keep_checkpoints: CountOrNone = 0
    """Number of newest checkpoints to keep; 0 keeps all."""
    sample_every: CountOrNone = 250
    """Steps between sample pictures; 0 makes none."""
    statistics: Annotated[int, Field(ge=1, le=10**6)] = 96
    """Number of puppets on which the latents' mean and deviation are measured."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.train == "decoder" and self.init_from is None:
            raise ValueError("should have the decoder's encoder: name the VAE in init_from")
        if self.latent_frame == "last" and self.train != "decoder":
            raise ValueError("should have latent_frame: last only with an encoder that is not trained: train: decoder")
        return self

    @property
    def steps(self) -> int:
        """Number of steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase that step number `step` belongs to."""
        return self._locate(step)[0]

    def step_in_phase(self, step: int) -> int:
        """Number of steps before step number `step` in its phase."""
        return self._locate(step)[1]

    def _locate(self, step: int) -> tuple[Phase, int]:
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        raise ValueError("step lies after the last phase")


class VaeBatches(Dataset):
    """Batches by step: float32 (batch, 3, frames, H, W) in [-1, 1], which depend on (seed, step) alone."""

    def __init__(self, settings: VaeSettings) -> None:
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> Tensor:
        phase = self.settings.phase_at(step)
        rng = np.random.default_rng([self.settings.seed, step])
        width, height = _SIZES[int(rng.integers(len(_SIZES)))]
        size = (width * self.settings.short_side // 128, height * self.settings.short_side // 128)
        if phase.moving:
            clips = (_sample_clip("train", rng, phase.frames, size) for _ in range(phase.batch))
            samples = [_moving_crop(clip, rng, phase.crop) for clip in clips]
        else:
            samples = [sample_pictures("train", rng, phase.frames, size, phase.crop) for _ in range(phase.batch)]
        return to_tensor(np.stack(samples))


def sample_pictures(
    split: Split, rng: np.random.Generator, frames: int, size: tuple[int, int], crop: int
) -> np.ndarray:
    """Sample pictures as the network encodes them (puppets, masked puppets, masks, black): (frames, H, W, 3).

    Args:
        split: Split of the puppets.
        rng: Source of randomness.
        frames: Number of frames.
        size: Width and height of the whole picture in pixels.
        crop: Side of a random square crop in pixels; 0 takes the whole picture.
    """
    width, height = size
    kind = rng.random()
    if kind < _MASK_PART + _BLACK_PART:
        known = np.ones((height, width), bool) if kind < _BLACK_PART else _random_box(rng, width, height)
        picture = np.where(known[..., None], 0, 255).astype(np.uint8).repeat(3, axis=-1)
        clip = np.broadcast_to(picture, (frames, *picture.shape))
    else:
        clip = _sample_clip(split, rng, frames, size)
        if kind > 1 - _MASKED_PART:
            clip = clip * _random_box(rng, width, height)[..., None]
    return _random_crop(clip, rng, crop) if crop else np.ascontiguousarray(clip)


def _sample_clip(split: Split, rng: np.random.Generator, frames: int, size: tuple[int, int]) -> np.ndarray:
    """Frames (frames, H, W, 3) of a puppet, from a random start in its first moves."""
    lead = MOVE_FRAMES if frames > 1 else 0
    scene = sample_scene(split, int(rng.integers(2**31)), width=size[0], height=size[1], frames=frames + lead)
    first = int(rng.integers(lead + 1))
    return scene.cut(slice(first, first + frames)).film(supersample=2).frames


def _random_crop(clip: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    height, width = clip.shape[1:3]
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return np.ascontiguousarray(clip[:, top : top + side, left : left + side])


def _moving_crop(clip: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    """The one of several random crops whose pixels change most from frame to frame."""
    crops = [_random_crop(clip, rng, side) for _ in range(_MOVING_OF)]
    return max(crops, key=lambda crop: float(np.abs(np.diff(crop.astype(np.int16), axis=0)).mean()))


def _random_box(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A boolean picture (H, W), true inside a random box."""
    wide, high = rng.uniform(0.2, 1.0) * width, rng.uniform(0.2, 1.0) * height
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    box = np.zeros((height, width), bool)
    box[int(top) : round(top + high), int(left) : round(left + wide)] = True
    return box
