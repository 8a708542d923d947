"""Options that several subcommands share, as dataclasses whose fields are Typer options.

`subcommand` lets a command take such a dataclass as a parameter: its fields become the command's own options.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from typer import Option
from typer.models import OptionInfo

from onetoall_cli.cli.report import Report, reported

# Options that stand in several commands, outside any group
Device = Annotated[str, Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N, mps.")]
NumberFormat = Annotated[Literal["auto", "bfloat16", "float16", "float32"], Option("--dtype", help="Number format.")]
Seed = Annotated[int, Option("--seed", min=0, metavar="N", help="Same seed, same result.")]


@dataclass(frozen=True)
class Speech:
    """How a command talks."""

    quiet: Annotated[bool, Option("--quiet", "-q", help="No notes, no progress.")] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Details and library logs.")] = False
    as_json: Annotated[bool, Option("--json", help="One JSON line on stdout as result; progress on stderr.")] = False

    def report(self) -> Report:
        return Report(quiet=self.quiet, verbose=self.verbose, as_json=self.as_json)


@dataclass(frozen=True)
class Target:
    """Where the output goes."""

    output: Annotated[
        Path | None,
        Option("--output", "-o", metavar="FILE", help="Output; default: named after the inputs, here."),
    ] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace existing output.")] = False
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan (sizes, segments, steps) and stop.")] = False


@dataclass(frozen=True)
class MotionOptions:
    """Which part of the driving motion is used, and how its poses are found."""

    start: Annotated[float, Option(min=0, metavar="SECONDS", help="Skip this many seconds.")] = 0.0
    duration: Annotated[float | None, Option(min=0, metavar="SECONDS", help="Use this many seconds; default: all.")] = (
        None
    )
    fps: Annotated[
        float | None,
        Option(min=0.1, metavar="FPS", help="Resample the motion to this rate (same speed); of a folder: its rate."),
    ] = None
    detector: Annotated[
        Literal["auto", "vitpose", "dwpose", "builtin"],
        Option(help="Pose detector; auto: the best installed."),
    ] = "auto"
    person: Annotated[
        str,
        Option(
            metavar="WHO",
            help="Whom to follow: auto, largest, left, center, right, or a number as in `pose --preview`.",
        ),
    ] = "auto"
    smooth: Annotated[bool, Option("--smooth/--no-smooth", help="Smooth detected poses in time.")] = True


@dataclass(frozen=True)
class AlignOptions:
    """How reference and motion are brought together."""

    align: Annotated[
        Literal["auto", "pose", "ref", "none"],
        Option(
            help="pose: move the reference onto the motion; ref: carry the motion onto the reference's proportions; "
            "auto: decide by the framing.",
        ),
    ] = "auto"
    anchor: Annotated[
        int | None, Option(min=0, metavar="FRAME", help="Frame of the motion to align at; default: best.")
    ] = None
    fit: Annotated[
        Literal["crop", "pad", "motion"],
        Option(help="How the driving frame meets the output frame."),
    ] = "crop"
    face: Annotated[
        Literal["auto", "full", "light", "off"],
        Option(help="How strongly the driving face steers."),
    ] = "auto"
    head: Annotated[
        Literal["auto", "full", "light"],
        Option(help="How strongly the driving head steers."),
    ] = "auto"
    ref_pose: Annotated[
        Path | None,
        Option(metavar="FILE", help="Pose file of the reference, where no person is found."),
    ] = None


@dataclass(frozen=True)
class SizeOptions:
    """The output's size; both sides end as multiples of 16."""

    short_side: Annotated[
        int | None, Option(min=16, metavar="PIXELS", help="Limit of the short side; default: the model's.")
    ] = None
    width: Annotated[int | None, Option(min=16, metavar="PIXELS", help="Output width in pixels.")] = None
    height: Annotated[int | None, Option(min=16, metavar="PIXELS", help="Output height in pixels.")] = None


@dataclass(frozen=True)
class GenerationOptions:
    """How the network samples; what is left out comes from the model's generation_config.json."""

    model: Annotated[
        str | None,
        Option(metavar="NAME|DIR", help="Model name or folder; default: the best installed that fits."),
    ] = None
    seed: Seed = 42
    steps: Annotated[int | None, Option(min=1, metavar="N", help="Denoising steps.")] = None
    ref_guidance: Annotated[
        float | None, Option(min=0, metavar="SCALE", help="Pull towards the reference; <= 1: off.")
    ] = None
    pose_guidance: Annotated[float | None, Option(min=0, metavar="SCALE", help="Pull towards the pose; <= 1: off.")] = (
        None
    )
    prompt: Annotated[str, Option(metavar="TEXT", help="Text prompt; the models expect none.")] = ""
    negative_prompt: Annotated[
        str | None, Option(metavar="TEXT", help="What to steer away from; default: the model's.")
    ] = None
    segment_frames: Annotated[
        int | None, Option(min=9, metavar="FRAMES", help="Longest piece generated at once, 4k+1.")
    ] = None
    device: Device = "auto"
    dtype: NumberFormat = "auto"
    auto_fetch: Annotated[
        bool, Option("--auto-fetch", envvar="ONETOALL_AUTO_FETCH", help="Fetch a missing model without asking.")
    ] = False


@dataclass(frozen=True)
class SpeedOptions:
    """What is given up for speed; the defaults give up nothing. What is left out comes from `--fast` and `--preset`."""

    fast: Annotated[
        Literal["off", "guidance", "steps", "both"],
        Option(help="Trade exactness for speed: guidance reused between steps, steps extrapolated, or both."),
    ] = "off"
    preset: Annotated[
        Literal["none", "lightning"],
        Option(help="lightning: 4 steps without guidance, for a step-distillation --lora."),
    ] = "none"
    lora: Annotated[
        list[str] | None,
        Option(metavar="FILE[:WEIGHT]", help="LoRA, a file or hf:OWNER/REPO/FILE; may be repeated."),
    ] = None
    sampler: Annotated[
        Literal["euler", "unipc", "dpm++"] | None,
        Option(help="Solver; unipc and dpm++ need fewer --steps, but differ from euler's result."),
    ] = None
    shift: Annotated[
        float | None, Option(min=0.1, metavar="N", help="More steps near noise the larger; default: the model's.")
    ] = None
    guidance_interval: Annotated[
        str | None, Option(metavar="A-B", help="Guide only from A to B of the steps, as 0.1-0.8.")
    ] = None
    guidance_every: Annotated[
        int | None, Option(min=1, metavar="N", help="Compute guidance at every Nth step, reuse it between.")
    ] = None
    cache: Annotated[
        Literal["none", "first-block", "taylor"] | None,
        Option(help="Skip blocks that change little, or extrapolate whole steps."),
    ] = None
    cache_strength: Annotated[
        float | None, Option(min=0, metavar="N", help="first-block: change ignored (0.1); taylor: 1 step in N (2).")
    ] = None
    attention: Annotated[
        Literal["auto", "sdpa", "flash", "sage"],
        Option(help="Attention kernel; flash and sage need their packages, sage rounds to 8 bits."),
    ] = "auto"
    compile: Annotated[bool, Option("--compile", help="Compile the blocks: slow first step, faster others.")] = False


@dataclass(frozen=True)
class MemoryOptions:
    """How the model is made to fit the memory; what is left out is chosen for this machine."""

    memory: Annotated[
        Literal["auto", "low", "balanced", "high"],
        Option(
            help="How much memory to use; auto: the fastest way that fits; high: all on the device; "
            "balanced: least without quantising; low: least."
        ),
    ] = "auto"
    quantize: Annotated[
        Literal["none", "int8", "nf4"] | None, Option(help="Quantise the network's weights; default: to fit.")
    ] = None
    offload: Annotated[
        Literal["none", "blocks"] | None,
        Option(help="blocks: weights wait in main memory (NVIDIA only); default: to fit."),
    ] = None
    tiling: Annotated[bool | None, Option("--tiling/--no-tiling", help="Run the VAE in tiles; default: to fit.")] = None


@dataclass(frozen=True)
class VideoOptions:
    """The video file."""

    crf: Annotated[int, Option(min=0, max=51, metavar="0-51", help="H.264 quality, lower is better.")] = 18
    audio: Annotated[bool, Option("--audio/--no-audio", help="Carry the driving video's sound.")] = True


@dataclass(frozen=True)
class SideOptions:
    """What is written beside the video."""

    frames: Annotated[Path | None, Option(metavar="DIR", help="Also write the frames as PNGs into this folder.")] = None
    compare: Annotated[
        bool,
        Option("--compare", help="Also write reference, pose and result side by side."),
    ] = False


def subcommand(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make `function` a subcommand: its dataclass parameters become options, its errors exit codes.

    A parameter annotated with a dataclass is built from options named like the dataclass's fields. A parameter
    annotated `Report` brings `Speech`'s options and receives the report made from them.
    """
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    plain: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    flattened: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        group = Speech if hints[name] is Report else hints[name]
        if is_dataclass(group) and isinstance(group, type):
            groups[name] = group
            flattened += _field_parameters(group)
        else:
            plain.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def run(**values: Any) -> Any:
        built = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})  # type: ignore[arg-type]
            for name, group in groups.items()
        }
        reports = {name: each.report() if isinstance(each, Speech) else each for name, each in built.items()}
        return function(**values, **reports)

    outer = reported(run)
    parameters = [*plain, *flattened]
    outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    outer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return outer


def declared_names(name: str, info: OptionInfo) -> list[str]:
    """How an option is written: as declared (a flag perhaps as "--yes/--no"), else `--` and the parameter's name."""
    declared = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    return declared or [f"--{name.replace('_', '-')}"]


def _field_parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)  # type: ignore[arg-type]
    ]
