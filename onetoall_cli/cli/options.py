"""Options that several subcommands share: a group of settings is a dataclass, and each of its fields an option.

`subcommand` lets a command take such a dataclass as a parameter. Groups of our own carry their `Option`s; the library's
settings know nothing of a command line, so theirs stand in `OPTIONS`.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from typer import Option
from typer.models import OptionInfo

from onetoall_cli.animator.settings import (
    AlignSettings,
    GenerationSettings,
    ModelSettings,
    MotionSettings,
    SceneSettings,
    SizeSettings,
    VideoSettings,
)
from onetoall_cli.cli.report import Report, reported
from onetoall_cli.errors import BadInput
from onetoall_cli.files import claims
from onetoall_cli.files.outputs import check_current_folder
from onetoall_cli.runtime import processes

# Options that stand in several commands, outside any group
Device = Annotated[str, Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N, mps.")]
NumberFormat = Annotated[Literal["auto", "bfloat16", "float16", "float32"], Option("--dtype", help="Number format.")]
Seed = Annotated[int, Option("--seed", min=0, metavar="N", help="Same seed, same result.")]
DetectorName = Annotated[
    Literal["auto", "vitpose", "dwpose", "builtin"],
    Option("--detector", help="Pose detector; auto: the best installed."),
]

SkipExisting = Annotated[bool, Option("--skip-existing", help="Do nothing where the output is there already.")]
WithPreview = Annotated[
    bool, Option("--preview", help="Show what is being denoised: NAME.preview.webp, and in terminals that can.")
]

PoseCache = Annotated[bool, Option("--pose-cache/--no-pose-cache", help="Use poses again that were detected before.")]


@dataclass(frozen=True)
class Verbosity:
    """How a command talks."""

    quiet: Annotated[bool, Option("--quiet", "-q", help="No notes, no progress.")] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Details and library logs.")] = False
    as_json: Annotated[bool, Option("--json", help="One JSON line on stdout as result; progress on stderr.")] = False
    progress: Annotated[
        Literal["auto", "json", "none"],
        Option(help="Progress on stderr: bars on a terminal; json: one line of JSON a step, for programs; none."),
    ] = "auto"

    def report(self) -> Report:
        return Report(quiet=self.quiet, verbose=self.verbose, as_json=self.as_json, progress=self.progress)


@dataclass(frozen=True)
class OutputOptions:
    """Where the output goes."""

    output: Annotated[
        Path | None,
        Option("--output", "-o", metavar="FILE", help="Output, - for stdout; default: named after the inputs, here."),
    ] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace existing output.")] = False
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan (sizes, segments, steps) and stop.")] = False


@dataclass(frozen=True)
class RunOptions:
    """How a run goes."""

    skip_existing: SkipExisting = False
    preview: WithPreview = False
    stop_after_segment: Annotated[
        int | None, Option(min=1, metavar="N", help="End with N segments kept, to look at; without it the run goes on.")
    ] = None
    restart: Annotated[
        bool, Option("--restart", help="Begin anew where an unfinished run with other settings or inputs is kept.")
    ] = False


@dataclass(frozen=True)
class Seeds:
    """Which noise, and how often."""

    seed: Annotated[
        str, Option(metavar="N[,N...]", help="Same seed, same result; several: an output each, named by its seed.")
    ] = "42"
    seeds: Annotated[int, Option(min=1, metavar="COUNT", help="So many outputs, of the seeds from --seed on.")] = 1

    def numbers(self) -> list[int]:
        """All seeds, each once.

        Raises:
            BadInput: They are no whole numbers from 0 on, or both several and counted.
        """
        parts = self.seed.split(",")
        if not all(part.strip().isdecimal() for part in parts):
            raise BadInput(f"--seed {self.seed} is no whole number.", "Give one from 0 on, or several as 7,8,9.")
        numbers = list(dict.fromkeys(map(int, parts)))
        if len(numbers) > 1 and self.seeds > 1:
            raise BadInput("--seed names several seeds, and --seeds counts them.", "Give one or the other.")
        return [numbers[0] + index for index in range(self.seeds)] if self.seeds > 1 else numbers


@dataclass(frozen=True)
class SideOptions:
    """What is written beside the video."""

    frames: Annotated[Path | None, Option(metavar="DIR", help="Also write the frames as PNGs into this folder.")] = None
    compare: Annotated[
        bool,
        Option("--compare", help="Also write reference, pose and result side by side."),
    ] = False
    mask_out: Annotated[
        Path | None, Option(metavar="FILE", help="Also write the character's matte, as a grey video.")
    ] = None


@dataclass(frozen=True)
class ParallelOptions:
    """Several processes for one video."""

    gpus: Annotated[int | None, Option(min=1, metavar="N", help="Make one video on N GPUs of this machine.")] = None
    parallel: Annotated[
        str | None,
        Option(metavar="HOW", help="How GPUs share a step: guidance, ulysses:N or both, with a comma; default: best."),
    ] = None

    @property
    def count(self) -> int:
        """How many processes there are to be.

        Raises:
            BadInput: Another number was started.
        """
        started = processes.count()
        if started > 1 and self.gpus not in (None, started):
            raise BadInput(f"--gpus {self.gpus} differs from the {started} started processes.", "Leave it out.")
        return self.gpus or started


# What `--help` says above the options of each group, in its order there; options outside any group come first.
# A command's own groups have a `HEADING`, and come before the last.
HEADINGS: dict[type, str] = {
    OutputOptions: "Output",
    RunOptions: "Run",
    VideoSettings: "Video",
    SideOptions: "Video",
    MotionSettings: "Motion",
    AlignSettings: "Alignment",
    SizeSettings: "Size",
    SceneSettings: "Scene",
    ModelSettings: "Model and memory",
    ParallelOptions: "Model and memory",
    Seeds: "Generation",
    GenerationSettings: "Generation",
    Verbosity: "Messages",
}
LAST_HEADING = HEADINGS[Verbosity]

# For each group of the library's settings the fields that are options, in the order of the manual; the others keep
# their defaults. Where an option's type differs from the setting's, it stands before the option.
OPTIONS: dict[type, dict[str, Any]] = {
    MotionSettings: {
        "start": Option(min=0, metavar="SECONDS", help="Skip this many seconds."),
        "duration": Option(min=0, metavar="SECONDS", help="Use this many seconds; default: all."),
        "fps": Option(
            min=0.1, metavar="FPS", help="Resample the motion to this rate (same speed); of a folder: its rate."
        ),
        "detector": DetectorName,
        "person": Option(
            metavar="WHO",
            help="Whom to follow: auto, largest, left, center, right, or a number as in `pose --preview`.",
        ),
        "smooth": Option("--smooth/--no-smooth", help="Smooth detected poses in time."),
        "pose_cache": PoseCache,
    },
    AlignSettings: {
        "align": Option(
            help="pose: move the reference onto the motion; ref: carry the motion onto the reference's proportions; "
            "auto: decide by the framing.",
        ),
        "anchor": Option(min=0, metavar="FRAME", help="Frame of the motion to align at; default: best."),
        "fit": Option(help="How the driving frame meets the output frame."),
        "face": Option(help="How strongly the driving face steers."),
        "head": Option(help="How strongly the driving head steers."),
        "ref_pose": Option(metavar="FILE", help="Pose file of the reference, where no person is found."),
    },
    SizeSettings: {
        "short_side": Option(min=16, metavar="PIXELS", help="Limit of the short side; default: the model's."),
        "width": Option(min=16, metavar="PIXELS", help="Output width in pixels."),
        "height": Option(min=16, metavar="PIXELS", help="Output height in pixels."),
        "draft": Option("--draft", help="A quick look at alignment and framing: half the size, a third of the steps."),
    },
    SceneSettings: {
        "background": Option(
            metavar="WHAT",
            help="What is behind the character: reference; driver (it takes the dancer's place in the driving video); "
            "a colour, as #00ff00; or a picture or video.",
        ),
        "relight": Option(help="Match the character's light to a picture or video behind it."),
        "cast": Annotated[
            list[str] | None,
            Option(
                metavar="WHO=FILE",
                help="Another character in the place of another person: right=b.png; may be repeated.",
            ),
        ],
        "alpha": Option("--alpha", help="Write the character alone, on nothing (.mov: ProRes 4444, or .webm)."),
    },
    ModelSettings: {
        "model": Option(metavar="NAME|PATH", help="Model name, folder or file; default: the best installed that fits."),
        "device": Device,
        "dtype": NumberFormat,
        "auto_fetch": Option(
            "--auto-fetch", envvar="ONETOALL_AUTO_FETCH", help="Fetch a missing model without asking."
        ),
        "lora": Annotated[
            list[str] | None,
            Option(metavar="FILE[:WEIGHT]", help="LoRA: a file, hf:OWNER/REPO/FILE or lightning; may be repeated."),
        ],
        "attention": Option(
            help="Attention kernel; blocked: CPUs; cudnn, flash, flash3, sage: CUDA; sage rounds to 8 bits."
        ),
        "compile": Option("--compile", help="Compile the blocks: slow first step, faster others."),
        "memory": Option(
            help="How much memory to use; auto: the fastest way that fits; high: all on the device; "
            "balanced: least without quantising; low: least."
        ),
        "quantize": Option(help="Quantise the network's weights; default: to fit."),
        "offload": Option(help="blocks: weights wait in main memory (NVIDIA only); default: to fit."),
        "tiling": Option("--tiling/--no-tiling", help="Run the VAE in tiles; default: to fit."),
    },
    GenerationSettings: {
        "steps": Option(min=1, metavar="N", help="Denoising steps."),
        "ref_guidance": Annotated[
            str | None,
            Option(metavar="SCALE", help="Pull towards the reference; <= 1: off; or in parts: 2.5@0-0.5,1.5@0.5-1."),
        ],
        "pose_guidance": Annotated[
            str | None, Option(metavar="SCALE", help="Pull towards the pose; <= 1: off; or in parts.")
        ],
        "prompt": Option(metavar="TEXT", help="Text prompt; the models expect none."),
        "negative_prompt": Option(metavar="TEXT", help="What to steer away from; default: the model's."),
        "segment_frames": Option(min=9, metavar="FRAMES", help="Longest piece generated at once, 4k+1."),
        "overlap": Option(min=1, metavar="FRAMES", help="Frames that two pieces share, 4k+1; default: as trained."),
        "carry": Option(
            help="How pieces go on: toned: latents held to the first tone; latents: as they are; frames: encoded "
            "again; none: each by itself."
        ),
        "fast": Option(help="Trade exactness for speed: guidance reused between steps, steps extrapolated, or both."),
        "preset": Option(
            help="lightning: 4 steps with a step-distillation LoRA, by default the known one for the model."
        ),
        "sampler": Option(help="Solver; unipc and dpm++ need fewer --steps, but differ from euler's result."),
        "shift": Option(min=0.1, metavar="N", help="More steps near noise the larger; default: the model's."),
        "guidance_interval": Option(metavar="A-B", help="Guide only from A to B of the steps, as 0.1-0.8."),
        "guidance_every": Option(min=1, metavar="N", help="Compute guidance at every Nth step, reuse it between."),
        "cache": Option(help="Skip blocks that change little, or extrapolate whole steps."),
        "cache_strength": Option(
            min=0, metavar="N", help="first-block: change ignored (0.1); taylor: 1 step in N (2)."
        ),
    },
    VideoSettings: {
        "crf": Option(min=0, max=51, metavar="0-51", help="H.264 quality, lower is better."),
        "audio": Option("--audio/--no-audio", help="Carry the driving video's sound."),
    },
}


def subcommand(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make `function` a subcommand: its dataclass parameters become options, its errors exit codes.

    A parameter annotated with a dataclass is built from options named like the dataclass's fields. A parameter
    annotated `Report` brings `Verbosity`'s options and receives the report made from them.
    """
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    plain: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    flattened: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        group = Verbosity if hints[name] is Report else hints[name]
        if is_dataclass(group) and isinstance(group, type):
            groups[name] = group
            flattened += _field_parameters(group)
        else:
            plain.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def run(**values: Any) -> Any:
        built = {name: group_of(group, values) for name, group in groups.items()}
        reports = {name: each.report() if isinstance(each, Verbosity) else each for name, each in built.items()}
        check_current_folder()  # torch's own libraries do not start in one that was deleted
        with claims():
            try:
                return function(**values, **reports)
            finally:
                for each in reports.values():
                    if isinstance(each, Report):
                        each.close()

    outer = reported(run)
    parameters = [*plain, *flattened]
    outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    outer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return outer


def declared_names(name: str, info: OptionInfo) -> list[str]:
    """How an option is written: as declared (a flag perhaps as "--yes/--no"), else `--` and the parameter's name."""
    declared = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    return declared or [f"--{name.replace('_', '-')}"]


def group_of(group: type, values: dict[str, Any]) -> Any:
    """A group of settings from the options' values, which are taken out of `values`."""
    defaults = {field.name: field.default for field in fields(group)}
    given = {name: values.pop(name) for name in _option_fields(group)}
    # a repeated option that is left out is None to Typer, and empty in the settings
    return group(**{name: defaults[name] if value is None else value for name, value in given.items()})


def given_options(*groups: Any) -> dict[str, Any]:
    """The options of some groups that are not at their defaults, by their names."""
    given = {}
    for group in groups:
        defaults = {field.name: field.default for field in fields(group)}
        said = {name: getattr(group, name) for name in _option_fields(type(group))}
        given.update({name: value for name, value in said.items() if value != defaults[name]})
    return given


def _option_fields(group: type) -> list[str]:
    return list(OPTIONS[group] if group in OPTIONS else (field.name for field in fields(group)))  # type: ignore[arg-type]


def _field_parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    defaults = {field.name: field.default for field in fields(group)}  # type: ignore[arg-type]
    parameters = []
    for name in _option_fields(group):
        hint = hints[name]
        if group in OPTIONS:
            option = OPTIONS[group][name]
            hint = Annotated[hint, option] if isinstance(option, OptionInfo) else option
        heading = HEADINGS.get(group) or getattr(group, "HEADING", None)
        hint = _under(heading, hint) if heading else hint
        default = defaults[name] or None if defaults[name] == () else defaults[name]
        assert default is not MISSING
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    return parameters


def _under(heading: str, hint: Any) -> Any:
    """An option's annotation with the heading it has in `--help`; an option may stand in several groups."""
    option = next(copy.copy(each) for each in hint.__metadata__ if isinstance(each, OptionInfo))
    option.rich_help_panel = heading
    return Annotated[hint.__origin__, option]
