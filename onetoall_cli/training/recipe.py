"""The settings of a training run, and the plan of each batch, which depends on (seed, number) alone."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from onetoall_cli.lattice import SIZE_MULTIPLE, is_clip_length, latent_shape, rounded
from onetoall_cli.training.settings import read_settings
from onetoall_cli.training.stages import STAGES, TrainingStage

Dropped = Literal["nothing", "both", "reference", "pose"]


@dataclass(frozen=True)
class Resolution:
    """A size bucket: its short side in pixels (a multiple of 16), and its share of the batches."""

    short_side: int
    share: float = 1.0


@dataclass(frozen=True)
class DataSettings:
    """The source of training clips.

    Attributes:
        source: "puppets" (the synthetic world) or "videos" (a folder).
        folder: Folder of videos; poses and latents are cached in `cache`.
        clips: Number of different puppet clips; 0 is endless, without a cache.
        motions: Folder of pose files that puppets perform besides sampled dances.
        motion_share: Share of the puppets' motions that comes from `motions`.
        cache: Folder for detected poses and encoded latents; None takes the run's folder.
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
    """The settings of one stage of training.

    Defaults are the paper's, or those of the research code's training scripts, where they name a value.

    Attributes:
        output: Folder of the run.
        stage: 1, 2 or 3.
        vae: Folder of the VAE (diffusers layout).
        steps: Number of optimiser steps.
        model: Constructor arguments of a network with random weights; not needed with a finished stage in `init_from`.
        init_from: A finished stage (folder with config.json, or a run), or Wan2.1 T2V transformer weights with `model`.
        prompt_embeds: A prompt store with the empty prompt; None takes one row of zeros as text.
        trained: "stage" trains the stage's parameters; "all" trains every parameter, for networks with random weights.
        conditions: Values that replace those of the stage's table, such as {mask: 0.6}.
        data: The source of training clips.
        batch: Samples in a micro-step of one process.
        accumulate: Micro-steps in an optimiser step.
        picture_batch: Samples in a micro-step of single pictures, which cost much less; None takes `batch`.
        echo: Number of consecutive micro-steps with the same samples but new noise and times, so that samples are made
            and encoded less often (data echoing, arXiv 1907.05550).
        frames: Frames of a video sample, 4k + 1.
        fps: Frame rate of the clips.
        video_share: Share of video batches; the others hold single pictures (the paper has video : image = 6 : 1).
        resolutions, aspects: Size buckets; aspects are width / height.
        pose_canvas_short_side: Short side in pixels of the canvas that poses are drawn on before they are shrunk.
        face_room: Range of the space above the face in a face-centred mask, in face heights.
        timestep_shift: Shift of the training times; 1 is uniform.
        optimiser: "adamw" (released), or "muon" for the blocks' matrices and AdamW for the rest.
        lr: Peak learning rate.
        warmup: Steps over which the learning rate rises from zero.
        final_lr: Share of the learning rate left at the last step of a cosine; 1 keeps it constant after warm-up.
        betas, weight_decay: Of AdamW.
        clip: Largest norm of the gradient.
        ema: Decay of the averaged weights.
        bf16: Whether to compute in bfloat16.
        gradient_checkpointing: Whether to compute activations again in the backward pass instead of storing them.
        seed: Seed of data, noise and random weights.
        workers: Number of data processes.
        threads: CPU threads of torch; 0 leaves it to torch.
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: Number of newest checkpoints to keep; 0 keeps all.
        sample_every: Steps between sample sheets; 0 makes none.
        sample_count, sample_frames, sample_steps: Rows of a sample sheet, frames of a row, sampling steps.
        generation: Settings of an exported model (`generation_config.json`) that differ from the sample sheets'.
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
        stage = self.conditions_of_stage  # raises if `conditions` do not fit
        if self.frames < 13 and stage.token_replace > 0:
            raise ValueError("token replace needs at least 13 frames (two latent frames of context and more)")

    @cached_property
    def conditions_of_stage(self) -> TrainingStage:
        """The stage's table with this run's `conditions`."""
        base = {name: getattr(STAGES[self.stage], name) for name in TrainingStage.__dataclass_fields__}
        return read_settings(TrainingStage, {**base, **self.conditions}, "conditions")

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
    """Settings that all samples of a micro-batch share, because the network takes them per call.

    Attributes:
        frames: Frames of a sample; 1 for pictures.
        width, height: Size in pixels.
        dropped: The conditions that are not given.
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
    """Draw the number of frames of a micro-batch: those of a clip, or 1 for pictures."""
    return settings.frames if rng.random() < settings.video_share else 1


def plan_batch(
    settings: TrainingSettings, rng: np.random.Generator, frames: int, aspect: float | None = None
) -> BatchPlan:
    """Draw the plan of a micro-batch; `aspect` (width / height) is given where the clips have one."""
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
    """The aspect of `aspects` nearest to a clip's, compared as ratios."""
    return min(aspects, key=lambda bucket: abs(np.log(bucket / aspect)))


def bucket_size(short_side: int, aspect: float) -> tuple[int, int]:
    """Width and height of a bucket: the short side exact, the long one rounded to a multiple of 16."""
    long_side = max(short_side, rounded(short_side * max(aspect, 1 / aspect)))
    return (short_side, long_side) if aspect < 1 else (long_side, short_side)
