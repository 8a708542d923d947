"""Pipelines from and to disk: a model's place, loaded onto a device; a pipeline saved as a model directory."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from onetoall_cli.hub import GenerationDefaults, ModelLocation, load_network, load_vae
from onetoall_cli.sampling.lora import Lora, Outcome, apply_loras
from onetoall_cli.sampling.pipeline import OneToAllPipeline

log = logging.getLogger(__name__)


def load_pipeline(
    location: ModelLocation, device: torch.device, dtype: torch.dtype, *, loras: Sequence[Lora] = ()
) -> OneToAllPipeline:
    """Load network and VAE of `location`. The text encoder stays on disk: prompt embeddings are passed in.

    Args:
        location: The model.
        device, dtype: Where and in which number format it computes.
        loras: Changes to the network, applied before it goes to its device.

    Raises:
        ModelMissing: a file is missing, truncated or foreign; the message names it.
        BadInput: a LoRA does not fit the network.
    """
    network = load_network(location, dtype)
    for outcome in apply_loras(network, loras) if loras else ():
        _report_unmatched(outcome)
    # the shift is the model's generation setting; a checkpoint's own scheduler folder may be Wan's (UniPC, shift 3)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=location.defaults.shift)
    pipeline = OneToAllPipeline(vae=load_vae(location, dtype), transformer=network, scheduler=scheduler)
    return pipeline.to(device)


def _report_unmatched(outcome: Outcome) -> None:
    left = outcome.unmatched + outcome.misfits
    if left:
        log.warning(
            "%s: %d of its keys have no place in this network, such as %s; %d tensors were changed.",
            outcome.lora.path.name,
            len(left),
            ", ".join(left[:3]),
            outcome.applied,
        )


def save_model(pipeline: OneToAllPipeline, defaults: GenerationDefaults, folder: Path) -> None:
    """Write a model directory: diffusers' layout with `generation_config.json`.

    Prompt embeddings are added with `hub.PromptStore(folder / "prompt_embeds.safetensors")`.
    """
    pipeline.save_pretrained(folder, safe_serialization=True)
    defaults.save(folder / "generation_config.json")
