"""The settings of a run as plain values, named like the command line's options. None: the model or the machine decides.

What loads a model is in `ModelSettings`; the other groups may differ from run to run.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from onetoall_cli.errors import BadInput

NOT_RECORDED = {"recorded": False}  # of a field that changes no result

Align = Literal["auto", "pose", "ref", "none"]
Fit = Literal["crop", "pad", "motion"]
Face = Literal["auto", "full", "light", "off"]
Head = Literal["auto", "full", "light"]


@dataclass(frozen=True)
class ModelSettings:
    """Which model, and how it is loaded.

    Attributes:
        model: Name, folder, safetensors file or `hf:OWNER/REPO`; None: the best installed one that fits.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        dtype: "auto", "bfloat16", "float16" or "float32".
        auto_fetch: Whether a missing model is fetched.
        lora: LoRAs, each a file, `hf:OWNER/REPO/FILE`, or "lightning" (the catalogue's step-distillation LoRA for the
            model), with `:WEIGHT` behind it if that is not 1.
        attention: Attention kernel: "auto", "sdpa", "blocked", "cudnn", "flash", "flash3" or "sage".
        compile: Whether the blocks are compiled.
        memory: How much memory to use: "auto", "low", "balanced" or "high" (see `runtime.choose_plan`).
        quantize: "none", "fp8", "int8" or "nf4".
        offload: "none" or "blocks".
        tiling: Whether the VAE runs in tiles.
        processes: How many processes make one video together; from the command line only.
        parallel: How they share a step: "guidance", "ulysses:N" or "guidance,ulysses:N".
    """

    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    auto_fetch: bool = False
    lora: Sequence[str] = ()
    attention: Literal["auto", "sdpa", "blocked", "cudnn", "flash", "flash3", "sage"] = "auto"
    compile: bool = False
    memory: Literal["auto", "low", "balanced", "high"] = "auto"
    quantize: Literal["none", "fp8", "int8", "nf4"] | None = None
    offload: Literal["none", "blocks"] | None = None
    tiling: bool | None = None
    processes: int = field(default=1, metadata=NOT_RECORDED)
    parallel: str | None = field(default=None, metadata=NOT_RECORDED)


@dataclass(frozen=True)
class MotionSettings:
    """Which part of the driving motion is used, and how its poses are found.

    Attributes:
        start: Seconds to skip.
        duration: Seconds to use; None: all.
        fps: Rate to resample the motion to, at the same speed; of a folder of pictures: its rate.
        detector: Pose detector; "auto": the best installed.
        person: Whom to follow: "auto", "largest", "left", "center", "right" or a number.
        smooth: Whether detected poses are smoothed in time.
        pose_cache: Whether poses that were detected before are used again; it changes no result.
    """

    start: float = 0.0
    duration: float | None = None
    fps: float | None = None
    detector: str = "auto"
    person: str = "auto"
    smooth: bool = True
    pose_cache: bool = field(default=True, metadata=NOT_RECORDED)


@dataclass(frozen=True)
class AlignSettings:
    """How reference and motion are brought together; see `alignment.align`.

    Attributes:
        align: "pose": move the reference onto the motion; "ref": carry the motion onto the reference's proportions;
            "none": neither; "auto": decide by the framing.
        anchor: Frame of the motion to align at; None: the best.
        fit: How the driving frame meets the output frame.
        face: How strongly the driving face steers.
        head: How strongly the driving head steers.
        ref_pose: Pose file of the reference, where no person is found in it.
    """

    align: Align = "auto"
    anchor: int | None = None
    fit: Fit = "crop"
    face: Face = "auto"
    head: Head = "auto"
    ref_pose: Path | None = None


@dataclass(frozen=True)
class SizeSettings:
    """The output's size in pixels; both sides end as multiples of 16.

    Attributes:
        short_side: Limit of the short side; None: the model's.
        width, height: Sides; one alone keeps the reference's aspect.
        draft: A quick look: half that size, and a third of the steps.
    """

    short_side: int | None = None
    width: int | None = None
    height: int | None = None
    draft: bool = False


@dataclass(frozen=True)
class GenerationSettings:
    """How the network samples; what is None comes from `preset`, `fast` and the model's generation defaults.

    Attributes:
        seed: Of the noise: same seed, same result.
        steps: Denoising steps.
        ref_guidance: Pull towards the reference; 1 or less: off. A string may say it for parts of the steps:
            "2.5@0-0.5,1.5@0.5-1" (elsewhere: off).
        pose_guidance: Pull towards the pose, likewise.
        prompt: Text prompt; the models expect none.
        negative_prompt: What to steer away from.
        segment_frames: Longest piece generated at once, 4k + 1.
        overlap: Frames that a piece takes from the one before, 4k + 1.
        carry: How it takes them: "toned" (as latents, eased towards the tone of the first ones), "latents" or "frames"
            (decoded and encoded again, as in the research code); "none": not at all, for comparisons.
        fast: What is given up for speed: "off", "guidance", "steps" or "both".
        preset: "lightning": 4 steps, the first half guided by the reference, for a step-distillation LoRA.
        sampler: "euler", "unipc" or "dpm++".
        shift: More steps near noise the larger it is.
        guidance_interval: Guide only from A to B of the steps, as "0.1-0.8".
        guidance_every: Compute guidance at every Nth step, reuse it between.
        cache: "none", "first-block" or "taylor".
        cache_strength: First-block: change ignored; taylor: one step in so many is computed.
    """

    seed: int = 42
    steps: int | None = None
    ref_guidance: float | str | None = None
    pose_guidance: float | str | None = None
    prompt: str = ""
    negative_prompt: str | None = None
    segment_frames: int | None = None
    overlap: int | None = None
    carry: Literal["toned", "latents", "frames", "none"] = "toned"
    fast: Literal["off", "guidance", "steps", "both"] = "off"
    preset: Literal["none", "lightning"] = "none"
    sampler: Literal["euler", "unipc", "dpm++"] | None = None
    shift: float | None = None
    guidance_interval: str | None = None
    guidance_every: int | None = None
    cache: Literal["none", "first-block", "taylor"] | None = None
    cache_strength: float | None = None


@dataclass(frozen=True)
class SceneSettings:
    """What is behind the character, and who is beside it.

    Attributes:
        background: "reference": what the model makes of the reference's; "driver": the driving video without its
            dancer, whose place the character takes; else a colour (a name or `#rrggbb`), or a picture or video.
        relight: Whether the character's light is matched to a picture's or video's: "auto" or "off".
        alpha: Whether the output is the character alone, on nothing.
        cast: More characters, each "WHO=FILE": the person of the motion whose place it takes, and its picture.
    """

    background: str = "reference"
    relight: Literal["auto", "off"] = "auto"
    alpha: bool = False
    cast: Sequence[str] = ()


@dataclass(frozen=True)
class VideoSettings:
    """The video file.

    Attributes:
        crf: H.264 quality from 0 (best) to 51.
        audio: Whether the driving video's sound is carried.
    """

    crf: int = 18
    audio: bool = True


@dataclass(frozen=True)
class Settings:
    """All that may differ from run to run of a loaded model."""

    motion: MotionSettings = field(default_factory=MotionSettings)
    alignment: AlignSettings = field(default_factory=AlignSettings)
    size: SizeSettings = field(default_factory=SizeSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    scene: SceneSettings = field(default_factory=SceneSettings)

    def changed(self, **values: object) -> "Settings":
        """The same with some settings changed, by their names in whichever group they stand: `seed=7, start=4.0`.

        Raises:
            BadInput: There is no such setting.
        """
        groups = {group.name: getattr(self, group.name) for group in fields(self)}
        home = {each.name: group for group, value in groups.items() for each in fields(value)}
        check_names(values, home)
        for name, value in values.items():
            groups[home[name]] = replace(groups[home[name]], **{name: value})
        return Settings(**groups)


def check_names(given: Iterable[str], known: Collection[str]) -> None:
    """Check the names of settings that came by keyword.

    Raises:
        BadInput: One of them is not known.
    """
    for name in given:
        if name not in known:
            raise BadInput(f"There is no setting {name!r} here.", f"Choose from {', '.join(known)}.")


def as_arguments(*groups: Any) -> list[str]:
    """Settings as the command line's arguments, every value said but None: `["--seed", "7", "--no-smooth", ...]`.

    A flag that is off unless given has no `--no-` form, so nothing is said where it is off.
    """
    arguments: list[str] = []
    for group in groups:
        for each in fields(group):
            value, option = getattr(group, each.name), each.name.replace("_", "-")
            if not each.metadata.get("recorded", True):
                continue
            if value is None or (value is False and each.default is False):
                continue
            if isinstance(value, bool):
                arguments.append(f"--{option}" if value else f"--no-{option}")
            elif isinstance(value, (list, tuple)):
                arguments += [part for item in value for part in (f"--{option}", str(item))]
            else:
                arguments += [f"--{option}", str(value)]
    return arguments
