"""`onetoall bench`: time, memory and quality on this machine, against a plain implementation in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from onetoall_cli.animator.settings import GenerationSettings
from onetoall_cli.cli.options import Device, NumberFormat, subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.files.outputs import Output
from onetoall_cli.lattice import SIZE_MULTIPLE, is_clip_length

if TYPE_CHECKING:
    from onetoall_cli.bench.drift import Drift
    from onetoall_cli.bench.measure import BenchJob, Measurement

SEGMENT_STEPS = 30  # released: over so many steps the work that is done once a segment is spread
COMPONENTS = ("pose encoder", "plain pose encoder", "text keys", "reference extractor", "VAE encode", "VAE decode")
ONCE_A_SEGMENT = ("pose encoder", "text keys", "VAE encode", "VAE decode")


@subcommand
def bench(
    report: Report,
    model: Annotated[
        str | None, Option(metavar="NAME|DIR", help="Installed model; --quality: or a training run.")
    ] = None,
    random: Annotated[
        Literal["1.3b", "14b", "mid", "tiny"] | None, Option(help="Random weights of this shape instead of a model.")
    ] = None,
    width: Annotated[int, Option(min=16, metavar="PIXELS", help="Width, a multiple of 16.")] = 384,
    height: Annotated[int, Option(min=16, metavar="PIXELS", help="Height, a multiple of 16.")] = 256,
    frames: Annotated[int, Option(min=1, metavar="FRAMES", help="Frames of a segment, 4k+1.")] = 29,
    only: Annotated[
        list[str] | None, Option(metavar="WORK", help="Measure only this (step, plain step, ...); may be repeated.")
    ] = None,
    scaling: Annotated[
        bool, Option("--scaling", help="Measure growth with frames, resolution and number of segments.")
    ] = False,
    quality: Annotated[
        bool, Option("--quality", help="Compare each approximation's frames and time with the exact run.")
    ] = False,
    drift: Annotated[
        bool, Option("--drift", help="How a long video's colours, contrast, sharpness and face change.")
    ] = False,
    segments: Annotated[int, Option(min=3, metavar="N", help="--drift: segments of each video.")] = 20,
    carry: Annotated[
        list[str] | None,
        Option(metavar="WAY", help="--drift: as `animate` has it; may be repeated, to compare."),
    ] = None,
    overlap: Annotated[int | None, Option(min=1, metavar="FRAMES", help="--drift: frames carried, 4k+1.")] = None,
    plot: Annotated[Path | None, Option(metavar="PNG", help="--drift: also draw the figures.")] = None,
    count: Annotated[int, Option(min=1, metavar="N", help="--quality, --drift: how many held-out inputs.")] = 4,
    steps: Annotated[
        int | None, Option(min=1, metavar="N", help="--quality, --drift: steps; default: the model's.")
    ] = None,
    compiled: Annotated[bool, Option("--compile", help="--quality: with compiled blocks, too.")] = False,
    repeats: Annotated[int, Option(min=1, metavar="N", help="Time each this often; the median counts.")] = 1,
    device: Device = "auto",
    dtype: NumberFormat = "auto",
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="FILE", help="Also write the figures as JSON.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace existing output.")] = False,
) -> None:
    """Measure speed, memory and the quality of approximations.

    Every figure is measured in a process of its own, beside a plain implementation of the same network on the same
    weights.

    Example: onetoall bench --random 1.3b --width 384 --height 256 --frames 29
    """
    targets = [
        Output(output, (".json",)) if output else None,
        Output(plot, (".png",), option="--plot") if plot else None,
    ]
    check_targets(targets, overwrite=overwrite)
    if drift:
        ways = carry or [GenerationSettings.carry]
        result, text = _drift(report, model, segments, count, steps, ways, overlap, plot, device, dtype)
    elif quality:
        result, text = _quality(report, model, frames, count, steps, compiled, device, dtype)
    else:
        _check_size(width, height, frames)
        base = _job(model, random, width, height, frames, device, dtype, repeats)
        result, text = _scaling(report, base) if scaling else _steps(report, base, only)
    if output is not None:
        import json

        with whole_file(output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    report.result(text, **result)


def _check_size(width: int, height: int, frames: int) -> None:
    if width % SIZE_MULTIPLE or height % SIZE_MULTIPLE or not is_clip_length(frames):
        raise BadInput(f"{width} x {height} x {frames} is no segment.", "Sides are multiples of 16, frames are 4k+1.")


def _job(
    model: str | None, random: str | None, width: int, height: int, frames: int, device: str, dtype: str, repeats: int
) -> BenchJob:
    from onetoall_cli.bench.measure import BenchJob

    if model is not None and random is not None:
        raise BadInput("--model and --random contradict each other.", "Give one.")
    shape = random or ("1.3b" if model is None else None)
    return BenchJob("step", shape, model, width, height, frames, device=device, dtype=dtype, repeats=repeats)


def _machine(device: str, dtype: str) -> dict[str, Any]:
    """What the figures were measured on."""
    import platform

    import torch

    from onetoall_cli.runtime import pick_device, pick_dtype

    chosen = pick_device(device)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": str(chosen),
        "name": name,
        "threads": torch.get_num_threads(),
        "dtype": str(pick_dtype(dtype, chosen)).removeprefix("torch."),
        "torch": torch.__version__,
    }


def _steps(report: Report, base: BenchJob, only: list[str] | None) -> tuple[dict[str, Any], str]:
    """Our step, the plain one and the components, and their ratios."""
    from onetoall_cli.bench.measure import measure
    from onetoall_cli.bench.steps import VAE_WORKS, WORKS

    wanted = only or ["step", "plain step", *COMPONENTS]
    for name in wanted:
        if name not in {*WORKS, *VAE_WORKS}:
            known = ", ".join([*WORKS, *VAE_WORKS])
            raise BadInput(f"There is no work '{name}' to measure.", f"Choose from: {known}.")
    found = {}
    for name in wanted:
        report.note(f"Measuring: {name}.")
        found[name] = measure(replace(base, work=name))
    ratios = _ratios(found)
    title = base.model or f"random weights, {base.shape}"
    result = {
        "model": title,
        "size": [base.width, base.height, base.frames],
        "machine": _machine(base.device, base.dtype),
        "measured": {name: asdict(each) for name, each in found.items()},
        "ratios": ratios,
    }
    lines = [f"{title}: {base.frames} frames of {base.width} x {base.height}", ""]
    lines += [f"{'':<24}{'seconds':>9}{'CPU s':>9}{'peak':>11}{'beside weights':>16}"]
    lines += [_row(name, each) for name, each in found.items()]
    lines += [f"{name}: {value:.2f}" for name, value in ratios.items()]
    return result, "\n".join(lines)


def _ratios(found: dict[str, Measurement]) -> dict[str, float]:
    """Ours against plain, where both were measured."""
    if "step" in found and "plain step" in found:
        ours, plain, what = found["step"], found["plain step"], "a step"
    elif "pass" in found and "plain pass" in found:
        # the one pass in which all conditions take part: ours saves least there, so a step gains at least as much
        ours, plain, what = found["pass"], found["plain pass"], "a pass with all conditions"
    else:
        return {}
    ratios = {f"times faster, {what}": plain.seconds / ours.seconds}
    if ours.cpu_seconds:
        ratios[f"times less processor time, {what}"] = plain.cpu_seconds / ours.cpu_seconds
    if what == "a step" and all(name in found for name in ONCE_A_SEGMENT):
        vae = sum(found[name].seconds for name in ONCE_A_SEGMENT if name.startswith("VAE"))
        once = sum(found[name].seconds for name in ONCE_A_SEGMENT)
        whole = (vae + SEGMENT_STEPS * plain.seconds) / (once + SEGMENT_STEPS * ours.seconds)
        ratios[f"times faster, a segment of {SEGMENT_STEPS} steps, VAE included (from the parts)"] = whole
    if ours.needed and plain.needed:
        encoder = found.get("pose encoder")  # runs before the steps, and may need more than they
        needed = max(ours.needed, encoder.needed or 0) if encoder else ours.needed
        ratios["part of the plain path's memory (weights and work)"] = needed / plain.needed
    return ratios


def _row(name: str, each: Measurement) -> str:
    peak = "-" if each.peak is None else f"{each.peak / 1e9:.2f} GB"
    beside = "-" if each.working is None else f"{each.working / 1e9:.2f} GB"
    return f"{name:<24}{each.seconds:>9.2f}{each.cpu_seconds:>9.2f}{peak:>11}{beside:>16}"


def _scaling(report: Report, base: BenchJob) -> tuple[dict[str, Any], str]:
    from onetoall_cli.bench.scaling import run_series

    points = run_series(base, progress=lambda name: report.note(f"Measuring: {name}."))
    result = {
        "model": base.model or f"random weights, {base.shape}",
        "machine": _machine(base.device, base.dtype),
        "points": [asdict(point) for point in points],
    }
    lines = [f"{'':<16}{'seconds':>9}{'peak':>11}{'plain s':>9}{'plain peak':>12}{'faster':>8}{'memory':>11}"]
    for point in points:
        line = f"{f'{point.series} {point.value}':<16}{point.ours.seconds:>9.2f}{(point.ours.peak or 0) / 1e9:>8.2f} GB"
        if point.plain is not None:
            part = (point.ours.needed or 0) / (point.plain.needed or 1)
            line += f"{point.plain.seconds:>9.2f}{(point.plain.peak or 0) / 1e9:>9.2f} GB"
            line += f"{point.plain.seconds / point.ours.seconds:>8.2f}{part:>11.2f}"
        lines.append(line)
    return result, "\n".join(lines)


def _quality(
    report: Report,
    model: str | None,
    frames: int,
    count: int,
    steps: int | None,
    compiled: bool,
    device: str,
    dtype: str,
) -> tuple[dict[str, Any], str]:
    from onetoall_cli.animator import Listener, Settings
    from onetoall_cli.animator.settings import ModelSettings
    from onetoall_cli.bench.quality import approximations, compare, held_out_inputs
    from onetoall_cli.training.export import load_model_or_run

    if model is None:
        raise BadInput("--quality needs a trained model.", "Name it with --model.")
    subject = load_model_or_run(model, ModelSettings(device=device, dtype=dtype), Listener(note=report.note))
    settings = Settings().changed(steps=steps)
    results = compare(
        subject,
        held_out_inputs(subject, count, frames),
        approximations(subject.resolved(settings).sampling.num_inference_steps),
        settings=settings,
        compiled=compiled,
        progress=lambda name: report.note(f"Sampling: {name}."),
    )
    result = {
        "model": subject.name,
        "inputs": count,
        "frames": frames,
        "machine": _machine(device, dtype),
        "ways": [asdict(each) for each in results],
    }
    lines = [f"{subject.name}: {count} held-out inputs of {frames} frames, against the exact run", ""]
    lines += [f"{'':<36}{'runs':>6}{'seconds':>9}{'steps':>9}{'faster':>8}{'PSNR':>7}{'worst':>7}{'SSIM':>8}"]
    lines += [
        f"{each.name:<36}{each.network_runs:>6}{each.seconds:>9.1f}{each.denoising:>9.1f}{each.speed:>8.2f}{each.psnr:>7.1f}"
        f"{each.worst_psnr:>7.1f}{each.ssim:>8.4f}"
        for each in results
    ]
    return result, "\n".join(lines)


def _drift(
    report: Report,
    model: str | None,
    segments: int,
    count: int,
    steps: int | None,
    ways: Sequence[str],
    overlap: int | None,
    plot: Path | None,
    device: str,
    dtype: str,
) -> tuple[dict[str, Any], str]:
    from onetoall_cli.animator import Listener, Settings
    from onetoall_cli.animator.settings import ModelSettings
    from onetoall_cli.bench.chart import line_charts
    from onetoall_cli.bench.drift import TITLES, figures, measure_drift, values, worsening
    from onetoall_cli.media import write_picture
    from onetoall_cli.sampling.carrying import CARRIES
    from onetoall_cli.training.export import load_model_or_run

    if model is None:
        raise BadInput("--drift needs a trained model.", "Name it with --model.")
    for way in ways:
        if way not in CARRIES:
            raise BadInput(f"There is no way '{way}' to carry frames.", f"Choose from: {', '.join(CARRIES)}.")
    subject = load_model_or_run(model, ModelSettings(device=device, dtype=dtype), Listener(note=report.note))
    found = {
        way: measure_drift(
            subject,
            segments=segments,
            count=count,
            settings=Settings().changed(steps=steps, overlap=overlap, carry=way),
            progress=lambda name, way=way: report.note(f"Generating, {way}: {name}."),  # type: ignore[misc]
        )
        for way in dict.fromkeys(ways)
    }
    if plot is not None:
        panels = {title: {way: values(each, name) for way, each in found.items()} for name, title in TITLES.items()}
        write_picture(plot, line_charts(panels))
    result = {
        "model": subject.name,
        "inputs": count,
        "machine": _machine(device, dtype),
        "ways": {
            way: {"segments": [figures(segment) for segment in each], "worsening": worsening(each)}
            for way, each in found.items()
        },
    }
    lines = [f"{subject.name}: {count} held-out inputs of {segments} segments"]
    for way, each in found.items():
        lines += ["", *_drift_table(way, each)]
    return result, "\n".join(lines)


def _drift_table(way: str, found: Sequence[Drift]) -> list[str]:
    from onetoall_cli.bench.drift import MOST_WORSENING, TITLES, worsening

    rows = [
        f"{number:<9}" + "".join(f"{value:>11.2f}" for value in asdict(each).values())
        for number, each in enumerate(found, 1)
    ]
    worse = worsening(found)
    said = ", ".join(f"{name} {factor:.2f}" for name, factor in worse.items())
    met = "met" if max(worse.values()) <= MOST_WORSENING else "not met"
    verdict = (
        f"From the second segment to the last, errors grow to so many times: {said} (target {MOST_WORSENING}: {met})."
    )
    return [f"{way:<9}" + "".join(f"{name:>11}" for name in TITLES), *rows, verdict]
