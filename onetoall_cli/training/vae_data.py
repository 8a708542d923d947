"""Data of VAE training: its settings, and batches of puppets, masked puppets, masks and black pictures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from onetoall_cli.model.pixels import to_tensor
from onetoall_cli.puppets import MOVE_FRAMES, Split, sample_scene

_MOVING_OF = 6  # random crops to choose from for `moving`
_MASK_PART, _BLACK_PART, _MASKED_PART = 0.1, 0.02, 0.12  # shares of the samples; the others are plain pictures
# Width, height of whole pictures of 128 pixels on the short side.
_SIZES = ((128, 192), (128, 160), (128, 128), (192, 128), (144, 208))


@dataclass(frozen=True)
class Phase:
    """Consecutive steps with one kind of batch.

    Attributes:
        steps: Number of steps.
        batch: Samples in a step.
        crop: Side of square crops in pixels; 0 takes whole pictures.
        frames: 1 for stills, else 4k + 1.
        moving: Whether to take the crop with the most movement of several, and no masks or black pictures. It teaches
            the frames between two latent frames.
    """

    steps: int
    batch: int
    crop: int = 64
    frames: int = 1
    moving: bool = False

    def __post_init__(self) -> None:
        if self.moving and (self.frames == 1 or not self.crop):
            raise ValueError("moving needs crops of clips: set frames and crop")


@dataclass(frozen=True)
class VaeSettings:
    """The settings of a VAE training.

    Attributes:
        output: Folder of the run.
        phases: The phases in order.
        short_side: Short side of whole pictures in pixels, roughly; movement grows with it. A multiple of 64.
        model: Constructor arguments of `AutoencoderKLWan` besides `z_dim`, which is 16.
        init_from: Folder of a VAE to continue from instead of random weights; `model` is then ignored.
        trained: "decoder" keeps the encoder and the latents' statistics, so that networks trained on them still fit.
        latent_frame: "free": the training decides what a latent frame holds of its four frames. "last": a latent frame
            equals the latent of a still of the last of them, and the decoder interpolates between latent frames.
        lr, final_lr: First and last learning rate of a cosine.
        warmup: Steps at the start of every phase over which the learning rate rises from zero.
        kl_weight, gradient_weight: Weights of the loss terms besides L1.
        ema: Decay of the averaged weights, which are saved at the end.
        clip: Largest norm of the gradient.
        seed: Seed of data, noise and random weights.
        threads: CPU threads of torch.
        bf16: Whether to compute in bfloat16 (weights are kept in float32).
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: Number of newest checkpoints to keep; 0 keeps all.
        sample_every: Steps between sample pictures; 0 makes none.
        statistics: Number of puppets on which the latents' mean and deviation are measured.
    """

    output: Path
    phases: tuple[Phase, ...]
    short_side: int = 128
    model: dict = field(default_factory=lambda: {"base_dim": 24, "num_res_blocks": 1})
    init_from: Path | None = None
    trained: Literal["all", "decoder"] = "all"
    latent_frame: Literal["free", "last"] = "free"
    lr: float = 5e-4
    final_lr: float = 4e-5
    warmup: int = 100
    kl_weight: float = 2e-4
    gradient_weight: float = 1.0
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    threads: int = 2
    bf16: bool = True
    checkpoint_every: int = 250
    keep_checkpoints: int = 0
    sample_every: int = 250
    statistics: int = 96

    def __post_init__(self) -> None:
        if self.short_side < 64 or self.short_side % 64:
            raise ValueError("short_side is a positive multiple of 64")  # so that every side is a multiple of 8
        if self.trained == "decoder" and self.init_from is None:
            raise ValueError("a decoder needs its encoder: name the VAE in init_from")
        if self.latent_frame == "last" and self.trained != "decoder":
            raise ValueError("latent_frame: last needs an encoder that is not trained: set trained to decoder")

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
