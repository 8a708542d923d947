"""The settings of a training run, and the plan of each batch, drawn from (seed, number) alone."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from onetoall_cli.lattice import SIZE_MULTIPLE, is_clip_length, latent_shape, rounded
from onetoall_cli.training.settings import read_settings
from onetoall_cli.training.stages import STAGES, Stage

Dropped = Literal["nothing", "both", "reference", "pose"]


@dataclass(frozen=True)
class Resolution:
    """A size bucket: its short side in pixels (a multiple of 16) and its share of the batches."""

    short_side: int
    share: float = 1.0


@dataclass(frozen=True)
class DataSettings:
    """Where clips come from.

    Attributes:
        source: "puppets" (the synthetic world) or "videos" (a folder).
        folder: Of videos; poses and latents are cached in `cache`.
        clips: How many different puppet clips there are; 0 is endless, which leaves nothing to cache.
        motions: A folder of pose files, for puppets to perform besides sampled dances.
        motion_share: How much of the puppets' motion comes from there.
        cache: Folder for detected poses and encoded latents; None keeps it with the run.
        detector: Pose detector for videos.
    """

    source: Literal["puppets", "videos"] = "puppets"
    folder: Path | None = None
    clips: int = 0
    motions: Path | None = None
    motion_share: float = 0.3
    cache: Path | None = None
    detector: str = "auto"

    def __post_init__(self) -> None:
        if self.source == "videos" and self.folder is None:
            raise ValueError("source: videos needs a folder")


@dataclass(frozen=True)
class TrainingSettings:
    """One stage of training. The defaults are the released recipe (reference.md section 4) where it names a value.

    Attributes:
        output: The run's folder.
        stage: 1, 2 or 3.
        vae: Folder of the VAE (diffusers layout).
        steps: Optimiser steps.
        model: Constructor arguments of a fresh network; leave out with `init_from`.
        init_from: A finished stage (folder with config.json, or a run), or Wan2.1 T2V transformer weights with `model`.
        prompt_embeds: A prompt store with the empty prompt; without it the text is one row of zeros.
        trained: "stage" trains what the stage names; "all" every parameter (for networks that start from nothing).
        conditions: Overrides of the stage's table, such as {mask: 0.6}.
        batch, accumulate: Samples a process takes a micro-step, and micro-steps an optimiser step.
        picture_batch: Samples of a micro-step on single pictures, which are so much lighter; None takes `batch`.
        echo: How many micro-steps in a row take the same samples, each with noise and times of its own: what is drawn
            and encoded once serves several (data echoing, arXiv 1907.05550).
        frames: Of a video sample, 4k + 1.
        fps: Of the clips.
        video_share: Of the batches; the rest are single pictures (released: video : image about 6 : 1).
        resolutions, aspects: Size buckets; aspects are width / height.
        face_room: How much a face-centred mask leaves above the face, a range of face heights.
        timestep_shift: Of the training times; 1 is uniform.
        optimiser: "adamw" (released), or "muon" for the blocks' matrices and AdamW for the rest.
        final_lr: Part of the learning rate left at the last step, by a cosine; 1 keeps it constant after warm-up.
        keep_checkpoints: How many of the newest stay; 0 keeps all.
        sample_every: Steps between sample sheets; 0 makes none.
        generation: How an exported model samples (`generation_config.json`) where it differs from the sample sheets.
        workers, threads: Data processes, and CPU threads of torch (0 leaves it to torch).
    """

    output: Path
    stage: int
    vae: Path
    steps: int
    model: dict | None = None
    init_from: Path | None = None
    prompt_embeds: Path | None = None
    data: DataSettings = field(default_factory=DataSettings)
    trained: Literal["stage", "all"] = "stage"
    conditions: dict = field(default_factory=dict)
    batch: int = 1
    accumulate: int = 1
    picture_batch: int | None = None
    echo: int = 1
    frames: int = 29
    fps: float = 16.0
    video_share: float = 6 / 7
    resolutions: tuple[Resolution, ...] = (Resolution(512),)
    aspects: tuple[float, ...] = (9 / 16, 2 / 3, 1.0, 3 / 2, 16 / 9)
    pose_canvas_short_side: int = 2160
    face_room: tuple[float, float] = (0.1, 0.1)
    timestep_shift: float = 1.0
    optimiser: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-5
    warmup: int = 5000
    final_lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    bf16: bool = True
    gradient_checkpointing: bool = False
    seed: int = 42
    workers: int = 1
    threads: int = 0
    checkpoint_every: int = 500
    keep_checkpoints: int = 3
    sample_every: int = 500
    sample_count: int = 4
    sample_frames: int = 13
    sample_steps: int = 20
    generation: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"stage is {self.stage}, not 1, 2 or 3")
        if not is_clip_length(self.frames):
            raise ValueError(f"frames is {self.frames}, not 4k + 1")
        if self.echo < 1:
            raise ValueError(f"echo is {self.echo}, not 1 or more")
        if self.model is None and self.init_from is None:
            raise ValueError("either model or init_from is needed")
        for resolution in self.resolutions:
            if resolution.short_side % SIZE_MULTIPLE:
                raise ValueError(f"short_side is {resolution.short_side}, not a multiple of {SIZE_MULTIPLE}")
        stage = self.conditions_of_stage  # says what is wrong with `conditions`
        if self.frames < 13 and stage.token_replace > 0:
            raise ValueError("token replace needs at least 13 frames (two latent frames of context and more)")

    @cached_property
    def conditions_of_stage(self) -> Stage:
        """The stage's table with this run's overrides."""
        base = {name: getattr(STAGES[self.stage], name) for name in Stage.__dataclass_fields__}
        return read_settings(Stage, {**base, **self.conditions}, "conditions")

    def samples(self, frames: int) -> int:
        """How many samples a micro-batch of `frames` frames holds."""
        return self.picture_batch if frames == 1 and self.picture_batch else self.batch

    @property
    def cache(self) -> Path:
        """Folder for detected poses and encoded latents."""
        return self.data.cache or self.output / "cache"

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant or a cosine down to `final_lr` of it."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        part = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.lr * float(self.final_lr + (1 - self.final_lr) * (1 + np.cos(np.pi * part)) / 2)


@dataclass(frozen=True)
class BatchPlan:
    """What all samples of one micro-batch share, because the network takes it per call.

    Attributes:
        frames: 1 for a batch of pictures.
        width, height: Pixels.
        dropped: Which conditions are not given.
        token_replace: Whether the first two latent frames are clean context.
    """

    frames: int
    width: int
    height: int
    dropped: Dropped
    token_replace: bool

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Latent frames, rows and columns."""
        return latent_shape(self.frames, self.height, self.width)


def draw_frames(settings: TrainingSettings, rng: np.random.Generator) -> int:
    """Draw whether a micro-batch is of clips or of pictures: its number of frames."""
    return settings.frames if rng.random() < settings.video_share else 1


def plan_batch(
    settings: TrainingSettings, rng: np.random.Generator, frames: int, aspect: float | None = None
) -> BatchPlan:
    """Draw a micro-batch's plan; `aspect` (width / height) is given where the clip fixes it."""
    stage = settings.conditions_of_stage
    shares = np.array([resolution.share for resolution in settings.resolutions])
    short = settings.resolutions[int(rng.choice(len(shares), p=shares / shares.sum()))].short_side
    drawn = settings.aspects[int(rng.integers(len(settings.aspects)))]
    width, height = bucket_size(short, nearest_aspect(aspect, settings.aspects) if aspect else drawn)
    parts = (stage.drop_both, stage.drop_reference, stage.drop_pose)
    number = int(np.searchsorted(np.cumsum(parts), rng.random(), side="right"))
    dropped: Dropped = ("both", "reference", "pose", "nothing")[number]  # type: ignore[assignment]
    token_replace = bool(rng.random() < stage.token_replace) and frames > 1
    return BatchPlan(frames, width, height, dropped, token_replace)


def nearest_aspect(aspect: float, aspects: tuple[float, ...]) -> float:
    """The bucket aspect nearest to a clip's, as a ratio."""
    return min(aspects, key=lambda bucket: abs(np.log(bucket / aspect)))


def bucket_size(short_side: int, aspect: float) -> tuple[int, int]:
    """Width and height of a bucket: the short side exact, the long one rounded to a multiple of 16."""
    long_side = max(short_side, rounded(short_side * max(aspect, 1 / aspect)))
    return (short_side, long_side) if aspect < 1 else (long_side, short_side)
