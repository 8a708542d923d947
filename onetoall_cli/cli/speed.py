"""The speed options of a generating command: presets resolved, LoRAs found, the pipeline set up."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.options import GenerationOptions, SpeedOptions
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput

if TYPE_CHECKING:
    from onetoall_cli.hub import ModelLocation
    from onetoall_cli.sampling.guidance import Guidance
    from onetoall_cli.sampling.lora import Lora

# The inference setting of LightX2V's 4-step distillation of Wan2.1 (denoising_step_list, sample_shift, no guidance).
LIGHTNING_STEPS = 4
LIGHTNING_SHIFT = 5.0

_WEIGHTED = re.compile(r"^(?P<place>.+):(?P<weight>-?\d*\.?\d+)$")
_INTERVAL = re.compile(r"^(\d*\.?\d+)-(\d*\.?\d+)$")


def with_preset(options: GenerationOptions, speed: SpeedOptions) -> GenerationOptions:
    """`options` with what `--preset` says where the user says nothing.

    Raises:
        BadInput: the preset needs a LoRA and there is none.
    """
    if speed.preset == "none":
        return options
    if not speed.lora:
        raise BadInput(
            "--preset lightning needs a step-distillation LoRA.",
            "Give one made for the model's size with --lora; README names those that are known.",
        )
    return replace(
        options,
        steps=LIGHTNING_STEPS if options.steps is None else options.steps,
        ref_guidance=1.0 if options.ref_guidance is None else options.ref_guidance,
        pose_guidance=1.0 if options.pose_guidance is None else options.pose_guidance,
    )


def resolve_speed(speed: SpeedOptions, location: ModelLocation) -> SpeedOptions:
    """`speed` with everything that was left out taken from `--preset`, then `--fast`, then the model.

    Raises:
        BadInput: an interval or a strength that cannot be.
    """
    from onetoall_cli.sampling.presets import FAST

    fast = FAST[speed.fast]
    wanted: dict[str, Any] = {
        "sampler": fast.sampler,
        "shift": LIGHTNING_SHIFT if speed.preset == "lightning" else location.defaults.shift,
        "guidance_interval": "{:g}-{:g}".format(*fast.guidance_interval),
        "guidance_every": fast.guidance_every,
        "cache": fast.cache,
        # of the preset's own cache, not of another that the user chose
        "cache_strength": fast.cache_strength if speed.cache is None else None,
    }
    resolved = replace(speed, **{name: value for name, value in wanted.items() if getattr(speed, name) is None})
    interval_of(resolved)
    if resolved.cache == "taylor" and resolved.cache_strength is not None and resolved.cache_strength < 1:
        raise BadInput("--cache-strength of taylor is a number of steps, at least 1.", "For example 2.")
    return resolved


def interval_of(speed: SpeedOptions) -> tuple[float, float]:
    """`--guidance-interval` as fractions of the steps.

    Raises:
        BadInput: it is not two rising fractions.
    """
    match = _INTERVAL.match(speed.guidance_interval or "0-1")
    start, stop = map(float, match.groups()) if match else (1.0, 0.0)
    if not 0 <= start <= stop <= 1:
        raise BadInput(
            f"--guidance-interval {speed.guidance_interval} is no part of the steps.",
            "Give two fractions between 0 and 1, as 0.1-0.8.",
        )
    return start, stop


def guidance_of(options: GenerationOptions, speed: SpeedOptions) -> Guidance:
    """Which passes of the network run at which step. Both must be resolved."""
    from onetoall_cli.sampling.guidance import Guidance, guidance_weights

    assert options.steps and speed.guidance_every
    assert options.ref_guidance is not None and options.pose_guidance is not None
    weights = guidance_weights(options.ref_guidance, options.pose_guidance)
    return Guidance(weights, options.steps, interval_of(speed), speed.guidance_every)


def found_loras(speed: SpeedOptions, report: Report) -> list[Lora]:
    """The LoRA files, fetched where they are on the hub.

    Raises:
        BadInput: there is no such file.
        ModelMissing: the hub does not give it.
    """
    from onetoall_cli.cli.installed_models import byte_progress
    from onetoall_cli.hub.repository_file import repository_file
    from onetoall_cli.sampling.lora import Lora

    loras = []
    for text in speed.lora or []:
        match = _WEIGHTED.match(text)
        place, weight = (match["place"], float(match["weight"])) if match else (text, 1.0)
        if place.startswith("hf:"):
            with byte_progress(report, "Fetching") as progress:
                loras.append(Lora(repository_file(place, progress=progress), weight))
        elif Path(place).is_file():
            loras.append(Lora(Path(place), weight))
        else:
            raise BadInput(f"There is no LoRA file {place}.", "Give a safetensors file or hf:OWNER/REPO/FILE.")
    return loras


def set_up(pipeline: Any, speed: SpeedOptions) -> None:
    """Give a loaded pipeline the solver, cache, attention kernel and compiled blocks of resolved options.

    Raises:
        BadInput: a kernel or a compiler is not here.
    """
    from onetoall_cli.sampling.kernels import choose_attention, compile_blocks
    from onetoall_cli.sampling.presets import Approximation

    assert speed.sampler and speed.shift and speed.cache
    choose_attention(pipeline.transformer, speed.attention)
    if speed.compile:
        compile_blocks(pipeline.transformer)
    approximation = Approximation(sampler=speed.sampler, cache=speed.cache, cache_strength=speed.cache_strength)
    approximation.set_up(pipeline, speed.shift)


def sigmas_of(options: GenerationOptions, speed: SpeedOptions) -> tuple[float, ...] | None:
    """The noise levels a preset prescribes, or None for the solver's own."""
    from onetoall_cli.sampling.solvers import even_sigmas

    assert options.steps
    return even_sigmas(options.steps) if speed.preset == "lightning" else None
