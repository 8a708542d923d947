"""Settings made whole: what the user left open comes from the preset, then from `fast`, then from the model."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onetoall_cli.animator.progress import FETCHING, Listener
from onetoall_cli.animator.settings import GenerationSettings, ModelSettings
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.hub.catalogue import DistilledSampling, Entry, load_catalogue
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.repository_file import repository_file
from onetoall_cli.sampling import SamplingSettings
from onetoall_cli.sampling.guidance import Guidance, Scale, Schedule
from onetoall_cli.sampling.lora import Lora
from onetoall_cli.sampling.lora_files import read_lora
from onetoall_cli.sampling.presets import FEW_STEPS, Approximation, fast_way
from onetoall_cli.sampling.solvers import even_sigmas

# `--lora lightning`: the catalogue's step-distillation LoRA for the model.
DISTILLED = "lightning"
# The inference setting of LightX2V's 4-step distillation of Wan2.1 (denoising_step_list, sample_shift); a LoRA of the
# catalogue may bring others. Distilled text guidance does not pull towards the reference, which settles early: half of
# the steps keep a second pass for it.
LIGHTNING: dict[str, Any] = {"steps": 4, "shift": 5.0, "pose_guidance": 1.0}
REFERENCE_GUIDED = "0-0.5"

FEWEST_STEPS = 4  # with fewer, even a distilled network's picture is a blur

_WEIGHTED = re.compile(r"^(?P<place>.+):(?P<weight>-?\d*\.?\d+)$")
_PART = re.compile(r"^(\d*\.?\d+)@(\d*\.?\d+)-(\d*\.?\d+)$")
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
    def remark(self) -> str | None:
        """What the user should know of these settings; None: nothing."""
        steps = self.generation.steps
        if self.generation.fast == "off" or steps is None or steps >= FEW_STEPS:
            return None
        return f"With {steps} steps there is little to gain: --fast only leaves guidance out at the last ones."

    @property
    def guidance(self) -> Guidance:
        """Which passes of the network run at which step."""
        return self.sampling.guidance


def resolve(
    settings: GenerationSettings,
    model: ModelSettings,
    defaults: GenerationDefaults,
    distilled: DistilledSampling | None = None,
    *,
    draft: bool = False,
) -> Resolved:
    """Fill in what `settings` leaves open.

    Args:
        settings: As the user gave them.
        model: Likewise.
        defaults: The model's.
        distilled: Of the catalogue's step-distillation LoRA, where it is loaded.
        draft: Whether to take fewer steps, and the noise of twice the size.

    Raises:
        BadInput: A preset without its LoRA, or an interval or a strength that cannot be.
    """
    if settings.preset == "lightning":
        if not model.lora:
            raise BadInput(
                "The preset lightning needs a step-distillation LoRA.",
                "Load the model with --lora lightning, or with one of your own made for its size.",
            )
        reference = f"{defaults.image_guidance_scale:g}@{REFERENCE_GUIDED}"
        settings = _filled(
            settings, {**LIGHTNING, "ref_guidance": reference, **(distilled.model_dump() if distilled else {})}
        )
    own_steps = draft_steps(defaults.num_inference_steps) if draft else defaults.num_inference_steps
    settings = _filled(settings, {"steps": own_steps})
    fast = fast_way(settings.fast, settings.steps or own_steps)
    own_cache = settings.cache is not None  # the preset's strength is for the preset's cache
    whole = _filled(
        settings,
        {
            "ref_guidance": defaults.image_guidance_scale,
            "pose_guidance": defaults.pose_guidance_scale,
            "negative_prompt": defaults.negative_prompt,
            "segment_frames": defaults.max_segment_frames,
            "overlap": defaults.overlap,
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
        image_guidance_scale=parse_scale("--ref-guidance", values.ref_guidance),
        pose_guidance_scale=parse_scale("--pose-guidance", values.pose_guidance),
        max_segment_frames=values.segment_frames,
        overlap=values.overlap,
        carry=values.carry,
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


def parse_scale(option: str, text: float | str) -> Scale:
    """A guidance scale: a number, or `SCALE@A-B` parts joined by commas.

    Raises:
        BadInput: It is neither, or the parts are no ascending fractions of the steps.
    """
    parts = [_PART.match(part) for part in str(text).split(",")]
    numbers = [tuple(map(float, part.groups())) if part else () for part in parts]
    bounds = [bound for part in numbers for bound in part[1:]]
    if all(numbers) and bounds == sorted(bounds) and bounds[-1] <= 1:
        return Schedule(tuple((scale, start, stop) for scale, start, stop in numbers))
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 <= scale < math.inf:
        raise BadInput(
            f"{option} {text} is no scale.",
            "Give a number, 0 or more, or numbers for ascending parts of the steps: 2.5@0-0.5,1.5@0.5-1.",
        )
    return scale


def distillation_of(model: str, wanted: ModelSettings) -> Entry | None:
    """The catalogue's step-distillation LoRA for a model if it is wanted.

    Raises:
        BadInput: It is wanted, and none is known.
    """
    if not any(text.split(":")[0] == DISTILLED for text in wanted.lora):
        return None
    entry = load_catalogue().distillation_of(model)
    if entry is None:
        raise BadInput(
            f"No step-distillation LoRA is known for the model {model}.",
            "Give one made for its size with --lora (`hf:OWNER/REPO/FILE` or a file).",
        )
    return entry


def find_loras(wanted: ModelSettings, listener: Listener, distilled: Entry | None = None) -> list[Lora]:
    """The LoRA files, fetched where they are on the hub, and read once, so that a bad one shows before any work.

    Args:
        wanted: Names them.
        listener: Told of downloads.
        distilled: From `distillation_of`.

    Raises:
        BadInput: There is no such file, or it is no LoRA.
        ModelMissing: The hub does not give it.
    """
    loras = []
    for text in wanted.lora:
        match = _WEIGHTED.match(text)
        place, weight = (match["place"], float(match["weight"])) if match else (text, 1.0)
        if place == DISTILLED and distilled is not None:
            loras.append(Lora(_entry_file(distilled, listener), weight))
        elif place.startswith("hf:"):
            loras.append(Lora(repository_file(place, progress=listener.counter(FETCHING)), weight))
        elif Path(place).is_file():
            loras.append(Lora(Path(place), weight))
        else:
            raise BadInput(f"There is no LoRA file {place}.", "Give a safetensors file or hf:OWNER/REPO/FILE.")
    for lora in loras:
        read_lora(lora.path)
    return loras


def _entry_file(entry: Entry, listener: Listener) -> Path:
    """The one file of a catalogue's entry, as `onetoall fetch` left it, or fetched now."""
    (name,) = entry.files
    known = installed().get(entry.name)
    if known is not None and not known.missing():
        return known.folder / name
    listener.note(f"Fetching {entry.name}: {entry.title}. Licence: {entry.licence}.")
    address = f"hf:{entry.repository}@{entry.revision}/{name}"
    return repository_file(address, progress=listener.counter(FETCHING))
