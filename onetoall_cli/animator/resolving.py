"""Settings made whole: what the user left open comes from the preset, then from `fast`, then from the model."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onetoall_cli.animator.progress import FETCHING, Listener
from onetoall_cli.animator.settings import GenerationSettings, ModelSettings
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.hub.repository_file import repository_file
from onetoall_cli.sampling import SamplingSettings
from onetoall_cli.sampling.guidance import Guidance
from onetoall_cli.sampling.lora import Lora
from onetoall_cli.sampling.lora_files import read_lora
from onetoall_cli.sampling.presets import FAST, Approximation
from onetoall_cli.sampling.solvers import even_sigmas

# The inference setting of LightX2V's 4-step distillation of Wan2.1 (denoising_step_list, sample_shift, no guidance).
LIGHTNING: dict[str, Any] = {"steps": 4, "shift": 5.0, "ref_guidance": 1.0, "pose_guidance": 1.0}

FEWEST_STEPS = 4  # with fewer, even a distilled network's picture is a blur

_WEIGHTED = re.compile(r"^(?P<place>.+):(?P<weight>-?\d*\.?\d+)$")
_INTERVAL = re.compile(r"^(\d*\.?\d+)-(\d*\.?\d+)$")


@dataclass(frozen=True)
class Resolved:
    """How a run samples, nothing left open.

    Attributes:
        generation: The settings, none of them None (but `cache_strength`, where the cache has a default of its own).
        sampling: The same for `sampling.animate`.
        approximation: The solver and the step cache, for the pipeline.
        shift: Of the solver's times.
    """

    generation: GenerationSettings
    sampling: SamplingSettings
    approximation: Approximation
    shift: float

    @property
    def guidance(self) -> Guidance:
        """Which passes of the network run at which step."""
        return self.sampling.guidance


def resolve(
    settings: GenerationSettings, model: ModelSettings, defaults: GenerationDefaults, *, draft: bool = False
) -> Resolved:
    """Fill in what `settings` leaves open; a draft takes fewer steps, and its noise is that of twice its size.

    Raises:
        BadInput: A preset without its LoRA, or an interval or a strength that cannot be.
    """
    if settings.preset == "lightning":
        if not model.lora:
            raise BadInput(
                "The preset lightning needs a step-distillation LoRA.",
                "Give one made for the model's size with --lora (`hf:OWNER/REPO/FILE` or a file).",
            )
        settings = _filled(settings, LIGHTNING)
    fast = FAST[settings.fast]
    own_cache = settings.cache is not None  # the preset's strength is for the preset's cache
    whole = _filled(
        settings,
        {
            "steps": defaults.num_inference_steps if not draft else draft_steps(defaults.num_inference_steps),
            "ref_guidance": defaults.image_guidance_scale,
            "pose_guidance": defaults.pose_guidance_scale,
            "negative_prompt": defaults.negative_prompt,
            "segment_frames": defaults.max_segment_frames,
            "shift": defaults.shift,
            "sampler": fast.sampler,
            "guidance_interval": "{:g}-{:g}".format(*fast.guidance_interval),
            "guidance_every": fast.guidance_every,
            "cache": fast.cache,
            "cache_strength": None if own_cache else fast.cache_strength,
        },
    )
    if whole.cache == "taylor" and whole.cache_strength is not None and whole.cache_strength < 1:
        raise BadInput("--cache-strength of taylor is a number of steps, at least 1.", "For example 2.")
    values: Any = whole  # its fields are no longer None
    sampling = SamplingSettings(
        num_inference_steps=values.steps,
        image_guidance_scale=values.ref_guidance,
        pose_guidance_scale=values.pose_guidance,
        max_segment_frames=values.segment_frames,
        seed=values.seed,
        sigmas=even_sigmas(values.steps) if settings.preset == "lightning" else None,
        guidance_interval=parse_interval(values.guidance_interval),
        guidance_every=values.guidance_every,
        pooled_noise=draft,
    )
    way = Approximation(sampler=values.sampler, cache=values.cache, cache_strength=values.cache_strength)
    return Resolved(whole, sampling, way, values.shift)


def draft_steps(steps: int) -> int:
    """How many of a model's steps show alignment and framing."""
    return min(steps, max(FEWEST_STEPS, round(steps / 3)))


def _filled(settings: GenerationSettings, values: dict[str, Any]) -> GenerationSettings:
    """`settings` with these values where it has None."""
    return replace(settings, **{name: value for name, value in values.items() if getattr(settings, name) is None})


def parse_interval(text: str) -> tuple[float, float]:
    """A guidance interval as fractions of the steps.

    Raises:
        BadInput: It is not two rising fractions.
    """
    match = _INTERVAL.match(text)
    start, stop = map(float, match.groups()) if match else (1.0, 0.0)
    if not 0 <= start <= stop <= 1:
        raise BadInput(
            f"--guidance-interval {text} is no part of the steps.", "Give two fractions between 0 and 1, as 0.1-0.8."
        )
    return start, stop


def find_loras(wanted: ModelSettings, listener: Listener) -> list[Lora]:
    """The LoRA files, fetched where they are on the hub, and read once, so that a bad one shows before any work.

    Raises:
        BadInput: There is no such file, or it is no LoRA.
        ModelMissing: The hub does not give it.
    """
    loras = []
    for text in wanted.lora:
        match = _WEIGHTED.match(text)
        place, weight = (match["place"], float(match["weight"])) if match else (text, 1.0)
        if place.startswith("hf:"):
            loras.append(Lora(repository_file(place, progress=listener.counter(FETCHING)), weight))
        elif Path(place).is_file():
            loras.append(Lora(Path(place), weight))
        else:
            raise BadInput(f"There is no LoRA file {place}.", "Give a safetensors file or hf:OWNER/REPO/FILE.")
    for lora in loras:
        read_lora(lora.path)
    return loras
