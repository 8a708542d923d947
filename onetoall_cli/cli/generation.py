"""What the generating commands share: their settings put together, the outputs of several seeds, the report."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.animator.jobs import Job, files_of
from onetoall_cli.animator.settings import GenerationSettings, ModelSettings, VideoSettings
from onetoall_cli.cli.options import OutputOptions, ParallelOptions, RunOptions, Seeds, SideOptions
from onetoall_cli.cli.outputs import check_targets, tidied
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import Output
from onetoall_cli.files.names import folder_of
from onetoall_cli.files.streams import is_output_stream
from onetoall_cli.runtime import processes

if TYPE_CHECKING:
    from onetoall_cli.animator import Result, RunPlan

_UNUSED = ("_bitsandbytes_available", "_peft_available", "_scipy_available")  # of diffusers.utils.import_utils
SHEET_HEIGHT, SHEET_FRAMES = 288, 6  # of the contact sheet of several seeds


@dataclass(frozen=True)
class SeedOutput:
    """The files that one seed's run writes."""

    seed: int
    main: Path
    compare: Path | None = None
    frames: Path | None = None
    mask: Path | None = None


def make(
    report: Report,
    job: Job,
    model: ModelSettings,
    parallel: ParallelOptions,
    seeds: Seeds,
    target: OutputOptions,
    run: RunOptions,
    video: VideoSettings = VideoSettings(),
    sides: SideOptions = SideOptions(),
) -> None:
    """Check what a generating command is to write, then make it and report; with `--dry-run` only its plan."""
    inputs = [*job.files, *files_of(model)]
    named = named_outputs(target.output or job.default_output, seeds, sides, preview=run.preview)
    for each in named:
        tidied(each.main, report)
    outputs = [each for each in named if not (run.skip_existing and each.main.exists())]
    if not outputs:
        report.result(f"{named[0].main} is there already.", skipped=[each.main for each in named])
        return
    check_planned(outputs, job.endings, inputs=inputs, overwrite=target.overwrite)
    run = replace(run, restart=run.restart or target.overwrite)
    wanted = replace(with_preset(model, job.settings.generation), parallel=parallel.parallel, processes=parallel.count)
    import_what_is_used([wanted])
    from onetoall_cli.animator import load

    with _others_started(0 if target.dry_run else parallel.count):
        animator = load(settings=wanted, listener=report.listener_with(run.preview))
        if target.dry_run:
            report_plan(report, job.plan(animator))
        else:
            save_all(report, job.result(animator), outputs, run, video)
        if processes.count() > 1:
            animator.engine.dismiss()


@contextmanager
def _others_started(count: int) -> Iterator[None]:
    """While the block lasts the other processes run, unless torchrun started them."""
    if count <= processes.count():
        yield
        return
    with processes.started(count):
        yield


def followed(model: ModelSettings, generation: GenerationSettings) -> bool:
    """In every process but the first: do the whole run as the first says. Returns whether this is one of them."""
    if processes.rank() == 0:
        return False
    from onetoall_cli.animator.following import follow

    follow(replace(with_preset(model, generation), processes=processes.count()))
    return True


def import_what_is_used(models: Iterable[ModelSettings]) -> None:
    """Import what generates, without packages that diffusers imports wherever they are installed.

    peft serves LoRAs, bitsandbytes and SciPy's statistics only classes of diffusers that are not used here. While its
    modules are imported, they are told that these packages are absent; later they can be imported as ever.
    """
    if any(model.lora for model in models):
        return
    from diffusers.utils import import_utils

    flags = {name: True for name in _UNUSED if getattr(import_utils, name, False)}
    vars(import_utils).update(dict.fromkeys(flags, False))
    try:
        importlib.import_module("onetoall_cli.animator.engine")
    finally:
        vars(import_utils).update(flags)


def named_outputs(
    main: Path, seeds: Seeds, sides: SideOptions = SideOptions(), *, preview: bool = False
) -> list[SeedOutput]:
    """The outputs, `NAME-SEED` where there are several seeds.

    Raises:
        BadInput: Several are to be named after one that has no name.
    """
    numbers = seeds.numbers()
    if (is_output_stream(main) or not main.name) and (sides.compare or preview or len(numbers) > 1):
        raise BadInput(
            f"--compare, --preview and several seeds name their files after the output, and {main} has no name.",
            "Write to a file.",
        )
    outputs = []
    for seed in numbers:
        tag = f"-{seed}" if len(numbers) > 1 else ""
        named = main.with_name(f"{main.stem}{tag}{main.suffix}") if tag else main
        compare = named.with_name(f"{named.stem}-compare{named.suffix}") if sides.compare else None
        frames = sides.frames.with_name(sides.frames.name + tag) if sides.frames and tag else sides.frames
        mask = sides.mask_out.with_stem(sides.mask_out.stem + tag) if sides.mask_out and tag else sides.mask_out
        outputs.append(SeedOutput(seed, named, compare, frames, mask))
    return outputs


def check_planned(
    outputs: list[SeedOutput],
    endings: tuple[str, ...],
    *,
    inputs: Iterable[Path | None],
    overwrite: bool,
) -> None:
    """Check before any work that each output can be written.

    Raises:
        BadInput: An ending that is not one of `endings`, and all else of `check_outputs`.
        OutOfResources: The disk is full.
    """
    wanted = [Output(path, endings) for each in outputs for path in (each.main, each.compare) if path is not None]
    from onetoall_cli.media import VIDEO_ENDINGS

    wanted += [Output(each.mask, VIDEO_ENDINGS, option="--mask-out") for each in outputs if each.mask is not None]
    wanted += [Output(each.frames, kind="frames", option="--frames") for each in outputs if each.frames is not None]
    if len(outputs) > 1:
        wanted.append(Output(sheet_path(outputs)))
    check_targets(wanted, inputs=inputs, overwrite=overwrite)


def with_preset(model: ModelSettings, generation: GenerationSettings) -> ModelSettings:
    """The model with what the run's preset needs: `lightning` takes the known LoRA where none is given."""
    if generation.preset == "lightning" and not model.lora:
        return replace(model, lora=("lightning",))
    return model


def sheet_path(outputs: list[SeedOutput]) -> Path:
    """Where the contact sheet of several seeds goes."""
    first = outputs[0]
    stem = first.main.stem.removesuffix(f"-{first.seed}")
    return first.main.with_name(f"{stem}-seeds.png")


def report_plan(report: Report, plan: RunPlan) -> None:
    """What `--dry-run` prints."""
    report.result(plan.prose(), **plan.fields(), memory=plan.memory.fields())


def save_all(
    report: Report, result: Result, outputs: list[SeedOutput], run: RunOptions, video: VideoSettings = VideoSettings()
) -> None:
    """Make the run with every seed and save it, with a contact sheet where there are several; report."""
    report.detail(result.plan.prose())
    shown, made, count = [], [], 0
    for output in outputs:
        seeded = result.with_seed(output.seed)
        count = seeded.save(
            output.main,
            video=video,
            frames=output.frames,
            compare=output.compare,
            mask=output.mask,
            restart=run.restart,
            preview=run.preview,
            stop_after_segment=run.stop_after_segment,
        )
        if not count:
            _report_stopped(report, output.main, seeded.plan)
            continue
        made.append(_fields(seeded, output, count))
        if len(outputs) > 1:
            shown.append((output.seed, _glimpses(output.main, count)))
    if not made:
        return
    width, height = result.size
    text = [f"{each['output']}  {_what(result, count)}, {width} x {height}" for each in made]
    if len(outputs) == 1:
        report.result(text[0], **made[0])
        return
    sheet = sheet_path(outputs)
    _write_sheet(sheet, shown)
    report.result("\n".join([*text, f"{sheet}  all of them at a glance"]), outputs=made, sheet=sheet)


def _report_stopped(report: Report, output: Path, plan: RunPlan) -> None:
    """What there is to look at where a run was stopped, and how it goes on."""
    from onetoall_cli.animator.kept_segments import read_unfinished

    kept = folder_of(output)
    unfinished = read_unfinished(kept)
    done = unfinished.done if unfinished else 0
    text = (
        f"{done} of {len(plan.segments)} segments are made: look at {kept / '1.mkv'} and so on. "
        "The same command without --stop-after-segment goes on."
    )
    report.result(text, output=None, kept=kept, segments_done=done)


def _what(result: Result, count: int) -> str:
    return "1 frame" if count == 1 else f"{result.duration:.2f} s, {count} frames"


def _fields(run: Result, output: SeedOutput, count: int) -> dict[str, Any]:
    plan, (width, height) = run.plan, run.size
    return {
        "output": output.main,
        "compare": output.compare,
        "mask": output.mask,
        "frames_folder": output.frames,
        "frames": count,
        "duration": run.duration,
        "width": width,
        "height": height,
        "segments": plan.segments,
        "steps": plan.steps,
        "model": plan.model,
        "seed": run.seed,
        "mode": run.conditioning.meta["mode"],
    }


def _glimpses(path: Path, count: int) -> list[Any]:
    """A few frames of an output, evenly spread."""
    from onetoall_cli.media import open_video

    wanted = {round(index * (count - 1) / (SHEET_FRAMES - 1)) for index in range(SHEET_FRAMES)}
    return [frame.image for index, frame in enumerate(open_video(path)) if index in wanted]


def _write_sheet(path: Path, shown: list[tuple[int, list[Any]]]) -> None:
    """A row for each seed."""
    from onetoall_cli.media import contact_sheet, write_picture

    rows = [[(f"seed {seed}" if not index else "", image) for index, image in enumerate(row)] for seed, row in shown]
    write_picture(path, contact_sheet(rows, SHEET_HEIGHT))
