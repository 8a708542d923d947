"""The settings of a training run, and the plan of each batch, which depends on (seed, number) alone."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from onetoall_cli.errors import BadInput
from onetoall_cli.files.forms import check
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.lattice import SIZE_MULTIPLE, floored, is_clip_length, latent_shape, rounded
from onetoall_cli.training.settings import (
    Count,
    CountOrNone,
    NotNegative,
    Place,
    Positive,
    Settings,
    Share,
    read_settings,
    usable,
)
from onetoall_cli.training.stages import STAGES, TrainingStage

Dropped = Literal["nothing", "both", "reference", "pose"]
Aspect = Annotated[float, Field(ge=0.1, le=10)]
Side = Annotated[int, Field(ge=SIZE_MULTIPLE, le=4096, multiple_of=SIZE_MULTIPLE)]
Blocks = Annotated[int, Field(ge=1, le=200)]
Width = Annotated[int, Field(ge=1, le=65536)]

RELEASED_TEXT_ROWS = 226
# A released bucket has at most 16 x 16 cells, so those of 512 and 768 have the same shapes: 384 x 672, 576 x 1008.
_CELLS = 16
# Sigma of the reference's noise: log-normal, as image-to-video models have it, 0.056 on average. The released code
# seems to take the exponential twice (1.06 on average); that leaves little of a picture in [-1, 1] and cannot be meant.
NOISE_LOG_MEAN, NOISE_LOG_DEVIATION = -3.0, 0.5


class Resolution(Settings):
    """A size bucket and its share of the batches. One of `area` and `short_side` is given."""

    area: Side | None = None
    """Side in pixels of the square whose area pictures have (the released buckets: 512 and 768)."""
    short_side: Side | None = None
    """Short side in pixels, whatever the aspect."""
    share: Positive = 1.0
    """Share of the batches, of the sum of all."""

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        if (self.area is None) == (self.short_side is None):
            raise ValueError("should have either area or short_side")
        return self

    def size(self, aspect: float) -> tuple[int, int]:
        """Width and height in pixels for an aspect (width / height), multiples of 16."""
        narrow = min(aspect, 1 / aspect)
        if self.area is not None:
            cells = round(_CELLS * narrow**0.5)
            short, long = (floored(count * self.area / _CELLS) for count in (cells, _CELLS**2 // cells))
        else:
            assert self.short_side is not None
            short, long = self.short_side, max(self.short_side, rounded(self.short_side / narrow))
        return (short, long) if aspect < 1 else (long, short)

    @property
    def least_side(self) -> int:
        """Short side in pixels of its most square pictures."""
        return self.area or self.short_side or 0


# Released: 512 in stage 1, half and half in stage 2, mostly 768 in stage 3.
STAGE_RESOLUTIONS: dict[int, tuple[Resolution, ...]] = {
    1: (Resolution(area=512),),
    2: (Resolution(area=512, share=0.5), Resolution(area=768, share=0.5)),
    3: (Resolution(area=512, share=0.2), Resolution(area=768, share=0.8)),
}


class NetworkSettings(Settings):
    """Sizes of a network with random weights, or one made from Wan2.1's; the defaults are the 1.3B's."""

    num_attention_heads: Annotated[int, Field(ge=1, le=256)] = 12
    """Attention heads."""
    attention_head_dim: Annotated[int, Field(ge=8, le=512, multiple_of=2)] = 128
    """Channels of a head; its product with the heads is the width of every block."""
    in_channels: Width = 16
    """Latent channels."""
    out_channels: Width = 16
    """Latent channels of the velocity."""
    text_dim: Width = 4096
    """Channels of the text encoder's output."""
    freq_dim: Annotated[int, Field(ge=2, le=65536, multiple_of=2)] = 256
    """Sinusoidal channels of the time embedding."""
    ffn_dim: Width = 8960
    """Hidden width of the feed-forwards."""
    num_layers: Blocks = 30
    """Denoiser blocks (N)."""
    num_reference_layers: Blocks = 14
    """Reference extractor blocks (M), up to N."""
    num_pose_layers: Blocks = 2
    """Pose refinement blocks, fewer than N."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.num_pose_layers >= self.num_layers or self.num_reference_layers > self.num_layers:
            raise ValueError("should have fewer pose layers, and no more reference layers, than layers")
        if self.in_channels != self.out_channels:
            raise ValueError("should have as many out_channels as in_channels")
        return self


class DataSettings(Settings):
    """The source of training clips."""

    source: Literal["puppets", "videos", "pictures"] = "puppets"
    """The synthetic world, a folder of videos, or picture pairs alone."""
    folder: Place | None = None
    """Folder of videos; poses and latents are cached in `cache`."""
    pairs: Place | None = None
    """Pairs of pictures of one person: a CSV with columns `from` and `to` (DeepFashion's lists have them; `caption` may
    follow), paths relative to it; or a folder with a folder for each person. With videos they are the batches of single
    pictures."""
    clips: CountOrNone = 0
    """Number of different puppet clips; 0 is endless, without a cache."""
    motions: Place | None = None
    """Folder of pose files that puppets perform besides sampled dances."""
    motion_share: Share = 0.3
    """Share of the puppets' motions that comes from `motions`."""
    pose_pool: Place | None = None
    """Folder of pose files of many people, whose faces the driving poses borrow; by default puppets': a folder of one
    person could give only that person's face."""
    ignore: Place | None = None
    """Folder of pictures named like the videos (`NAME.png`): what is white in them, such as subtitles, is left out of
    the loss."""
    cache: Place | None = None
    """Folder for detected poses and encoded latents; by default in the run's folder."""
    poses: Place | None = None
    """Folder of pose files named like the videos (`NAME.json`), in place of detection."""
    detector: str = "auto"
    """Pose detector for videos and pictures."""
    hold_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the videos, at least one, that `validate_every` measures the loss on and nothing is trained on."""
    strict: bool = False
    """Whether a video that cannot be used, or only in part, is an error."""

    @model_validator(mode="after")
    def _has_its_folder(self) -> Self:
        if self.source == "videos" and self.folder is None:
            raise ValueError("should have a folder for source: videos")
        if self.source == "pictures" and self.pairs is None:
            raise ValueError("should have pairs for source: pictures")
        return self


class LoraSettings(Settings):
    """A low-rank adapter."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 32
    """Rank of every change."""
    alpha: Positive | None = None
    """Strength times the rank; by default the rank."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("to_q", "to_k", "to_v", "to_out", "ffn")
    """Ends of the names of the linear layers in the denoiser's blocks that are changed; `ffn` means both of a
    feed-forward."""


class TrainingSettings(Settings):
    """The settings of one stage of training. Defaults are the released recipe, where it names a value."""

    output: Place
    """Folder of the run."""
    stage: Literal[1, 2, 3]
    """Stage of the paper: which parameters are trained, and how often each condition is drawn."""
    vae: Place | None = None
    """Folder of the VAE (diffusers' layout); by default that of the model in `init_from`, else the installed one."""
    steps: Count
    """Number of optimiser steps."""
    model: NetworkSettings | None = None
    """Sizes of a network with random weights; needed with Wan2.1's weights too."""
    init_from: str | None = None
    """What to start from: a model's name (`1.3b`), `hf:OWNER/REPO`, a folder of released weights, a model folder, a
    finished run, or Wan2.1 T2V transformer weights with `model`."""
    prompt_embeds: Place | None = None
    """A prompt store with the empty prompt; by default that of the model in `init_from`, else rows of zeros."""
    text_rows: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Rows of the empty prompt, zeros after its end; by default 226, or the model's `max_text_tokens` if that is
    less."""
    data: DataSettings = DataSettings()
    """The source of training clips."""
    train: Literal["stage", "all", "lora"] = "stage"
    """The stage's parameters; all, for networks with random weights; or a LoRA beside frozen weights."""
    lora: LoraSettings = LoraSettings()
    """The LoRA of `train: lora`."""
    quantize: Literal["none", "int8", "nf4"] = "none"
    """Precision of the frozen blocks under a LoRA (QLoRA)."""
    conditions: dict[str, Any] = Field(default={})
    """Values that replace those of the stage's table, such as {mask: 0.6}."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 1
    """Samples in a micro-step of one process."""
    accumulate: Annotated[int, Field(ge=1, le=4096)] = 1
    """Micro-steps in an optimiser step."""
    picture_batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Samples in a micro-step of single pictures, which cost much less; by default `batch`."""
    echo: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of consecutive micro-steps with the same samples but new noise and times, so that samples are made and
    encoded less often (data echoing, arXiv 1907.05550)."""
    frames: Annotated[int, Field(ge=1, le=1001)] = 29
    """Frames of a video sample, 4k + 1."""
    fps: Annotated[float, Field(ge=1, le=240)] | None = None
    """Frame rate that clips are resampled to; by default each runs at its own, of which every n-th frame is taken, with
    n = fps / 16 rounded down (so 24 to 31 fps stay, and 60 become 20). Puppets then dance at 16."""
    video_share: Share = 6 / 7
    """Share of video batches; the others hold single pictures."""
    resolutions: tuple[Resolution, ...] = ()
    """Size buckets; by default the stage's: areas of 512 x 512 and 768 x 768 pixels."""
    aspects: Annotated[tuple[Aspect, ...], Field(min_length=1)] = (9 / 16, 2 / 3, 3 / 4, 1.0, 4 / 3, 3 / 2, 16 / 9)
    """Aspects of the buckets, width / height."""
    pose_canvas_short_side: Annotated[int, Field(ge=16, le=8640)] = 2160
    """Short side in pixels of the canvas that poses are drawn on before they are shrunk."""
    face_room: tuple[NotNegative, NotNegative] = (0.71, 0.71)
    """Range of the space above the face in a face-centred mask, in face heights (so that hair stays)."""
    face_room_below: NotNegative = 0.31
    """The least space below the face there."""
    timesteps: Literal["logit-normal", "uniform"] = "logit-normal"
    """Distribution of the training times."""
    timestep_shift: Positive = 1.0
    """Shift of the training times; 1 is none."""
    loss_mean: Literal["plain", "weighted"] = "plain"
    """Divisor of the loss: all latent values, or the sum of their weights without context frames."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for the blocks' matrices and AdamW for the rest."""
    lr: NotNegative = 1e-5
    """Peak learning rate."""
    warmup: CountOrNone = 5000
    """Steps over which the learning rate rises from zero."""
    final_lr: Share = 1.0
    """Share of the learning rate left at the last step of a cosine; 1 keeps it constant after warm-up."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.95)
    """Of AdamW."""
    weight_decay: NotNegative = 1e-4
    """Of both optimisers."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights, which cost another copy of what is trained; 0 keeps none."""
    bf16: bool = True
    """Whether to compute in bfloat16, and to keep frozen weights in it."""
    gradient_checkpointing: bool = False
    """Whether to compute activations again in the backward pass instead of storing them."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Seed of data, noise and random weights."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Number of data processes."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads of torch; 0 leaves it to torch."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    keep_checkpoints: CountOrNone = 3
    """Number of newest checkpoints to keep; 0 keeps all."""
    validate_every: CountOrNone = 0
    """Steps between measurements of the loss on what is held out: puppets of another split, or videos (`hold_out`); 0
    makes none."""
    validate_batches: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Micro-batches of such a measurement, each time the same ones with the same noise and times."""
    tensorboard: bool = False
    """Whether the figures of `loss.csv` also go to TensorBoard (package tensorboard)."""
    shard: bool = False
    """Whether several GPUs share one network, each with a part of every weight (FSDP2), instead of having one each."""
    sample_every: CountOrNone = 500
    """Steps between sample sheets; 0 makes none."""
    sample_count: Annotated[int, Field(ge=1, le=100)] = 4
    """Rows of a sample sheet."""
    sample_frames: Annotated[int, Field(ge=1, le=1001)] = 13
    """Frames of a row, 4k + 1."""
    sample_steps: Annotated[int, Field(ge=1, le=1000)] = 20
    """Sampling steps of a row."""
    generation: dict[str, Any] = Field(default={})
    """Settings of an exported model (`generation_config.json`) that differ from those it would have."""

    @field_validator("init_from")
    @classmethod
    def _is_at_home(cls, init_from: str | None) -> str | None:
        return str(usable(Path(init_from))) if init_from and init_from.startswith("~") else init_from

    @field_validator("frames", "sample_frames")
    @classmethod
    def _is_clip_length(cls, frames: int) -> int:
        if not is_clip_length(frames):
            raise ValueError("should be 4k + 1")
        return frames

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.model is None and self.init_from is None:
            raise ValueError("should have model or init_from")
        if self.quantize != "none" and self.train != "lora":
            raise ValueError("should have quantize only with train: lora")
        if self.train == "lora" and self.init_from is None:
            raise ValueError("should have init_from, because a LoRA changes a model that there is")
        if self.shard and (self.quantize != "none" or self.sample_every or self.optimiser != "adamw"):
            raise ValueError("should have optimiser: adamw, quantize: none and sample_every: 0 with shard: true")
        if self.data.source == "pictures" and self.validate_every:
            raise ValueError("should have validate_every: 0 with source: pictures, of which none are held out")
        if self.data.source == "pictures" and self.video_share:
            raise ValueError("should have video_share: 0 with source: pictures")
        try:
            stage = self.conditions_of_stage
            check(GenerationDefaults, self.generation, source="generation", advice="Correct it.")
        except BadInput as error:
            raise ValueError(f"does not fit: {error.problem.rstrip('.')}") from error
        if self.frames < 13 and stage.token_replace > 0:
            raise ValueError("should have at least 13 frames for token replace: two latent frames of context, and more")
        return self

    @cached_property
    def conditions_of_stage(self) -> TrainingStage:
        """The stage's table with this run's `conditions`."""
        base = STAGES[self.stage].model_dump(mode="json")
        return read_settings(TrainingStage, {**base, **self.conditions}, "conditions")

    @property
    def sizes(self) -> tuple[Resolution, ...]:
        """The size buckets."""
        return self.resolutions or STAGE_RESOLUTIONS[self.stage]

    def samples(self, frames: int) -> int:
        """Number of samples in a micro-batch of `frames` frames."""
        return self.picture_batch if frames == 1 and self.picture_batch else self.batch

    @property
    def cache(self) -> Path:
        """Folder for detected poses and encoded latents."""
        return self.data.cache or self.output / "cache"

    def learning_rate(self, step: int) -> float:
        """The learning rate at a step: a linear warm-up, then constant or a cosine down to `final_lr`."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        part = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.lr * float(self.final_lr + (1 - self.final_lr) * (1 + np.cos(np.pi * part)) / 2)


@dataclass(frozen=True)
class BatchPlan:
    """Settings that all samples of a micro-batch share: the network takes them per call, or they are drawn for it."""

    frames: int
    """Frames of a sample; 1 for pictures."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    dropped: Dropped
    """The conditions that are not given."""
    token_replace: bool
    """Whether the first two latent frames are clean context."""
    reference_noise: float = 0.0
    """Sigma of the noise in the known part of the reference, whose values are in [-1, 1]."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Latent frames, rows and columns."""
        return latent_shape(self.frames, self.height, self.width)

    @property
    def has_reference(self) -> bool:
        return self.dropped in ("nothing", "pose")

    @property
    def has_pose(self) -> bool:
        return self.dropped in ("nothing", "reference")


def draw_frames(settings: TrainingSettings, rng: np.random.Generator) -> int:
    """Draw the number of frames of a micro-batch: those of a clip, or 1 for pictures."""
    return settings.frames if rng.random() < settings.video_share else 1


def plan_batch(
    settings: TrainingSettings, rng: np.random.Generator, frames: int, aspect: float | None = None
) -> BatchPlan:
    """Draw the plan of a micro-batch; `aspect` (width / height) is given where the clips have one."""
    stage = settings.conditions_of_stage
    shares = np.array([resolution.share for resolution in settings.sizes])
    resolution = settings.sizes[int(rng.choice(len(shares), p=shares / shares.sum()))]
    drawn = settings.aspects[int(rng.integers(len(settings.aspects)))]
    width, height = resolution.size(nearest_aspect(aspect, settings.aspects) if aspect else drawn)
    parts = (stage.drop_both, stage.drop_reference, stage.drop_pose)
    number = int(np.searchsorted(np.cumsum(parts), rng.random(), side="right"))
    dropped: Dropped = ("both", "reference", "pose", "nothing")[number]  # type: ignore[assignment]
    token_replace = bool(rng.random() < stage.token_replace) and frames > 1
    sigma = float(np.exp(rng.normal(NOISE_LOG_MEAN, NOISE_LOG_DEVIATION)))
    noise = sigma if rng.random() < stage.reference_noise else 0.0
    return BatchPlan(
        frames=frames, width=width, height=height, dropped=dropped, token_replace=token_replace, reference_noise=noise
    )


def nearest_aspect(aspect: float, aspects: tuple[float, ...]) -> float:
    """The aspect of `aspects` nearest to a clip's, compared as ratios."""
    return min(aspects, key=lambda bucket: abs(np.log(bucket / aspect)))


def own_rate(fps: float) -> float:
    """The frame rate at which a video of `fps` is trained on: every n-th frame, with n = fps / 16 rounded down."""
    return fps / max(int(fps / 16), 1)
