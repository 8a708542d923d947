"""Pipelines from and to disk: a model's place, loaded onto a device; a pipeline saved as a model directory."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from onetoall_cli.hub import GenerationDefaults, ModelLocation, load_network, load_vae
from onetoall_cli.sampling.pipeline import OneToAllPipeline


def load_pipeline(location: ModelLocation, device: torch.device, dtype: torch.dtype) -> OneToAllPipeline:
    """Load network and VAE of `location`. The text encoder stays on disk: prompt embeddings are passed in.

    Raises:
        ModelMissing: a file is missing, truncated or foreign; the message names it.
    """
    # the shift is the model's generation setting; a checkpoint's own scheduler folder may be Wan's (UniPC, shift 3)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=location.defaults.shift)
    pipeline = OneToAllPipeline(
        vae=load_vae(location, dtype), transformer=load_network(location, dtype), scheduler=scheduler
    )
    return pipeline.to(device)


def save_model(pipeline: OneToAllPipeline, defaults: GenerationDefaults, folder: Path) -> None:
    """Write a model directory: diffusers' layout with `generation_config.json`.

    Prompt embeddings are added with `hub.PromptStore(folder / "prompt_embeds.safetensors")`.
    """
    pipeline.save_pretrained(folder, safe_serialization=True)
    defaults.save(folder / "generation_config.json")
