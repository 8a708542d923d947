"""Loading a model as a pipeline on a device, and saving a pipeline as a model folder."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from onetoall_cli.hub import GenerationDefaults, ModelLocation
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.precisions import CAST, UNQUANTISED
from onetoall_cli.runtime import MemoryPlan
from onetoall_cli.runtime.offloading import offload_blocks
from onetoall_cli.runtime.shortage import release_memory
from onetoall_cli.runtime.vae import arrange_for_cpu
from onetoall_cli.sampling.lora import Lora, Outcome, apply_loras
from onetoall_cli.sampling.pipeline import OneToAllPipeline
from onetoall_cli.weights import load_network, load_vae
from onetoall_cli.weights.casting import store_in_fp8

log = logging.getLogger(__name__)


def load_pipeline(
    location: ModelLocation,
    device: torch.device,
    dtype: torch.dtype,
    *,
    loras: Sequence[Lora] = (),
    quantisation: str = "none",
    offload: str = "none",
    tiling: bool = False,
) -> OneToAllPipeline:
    """Load network and VAE of `location`. The text encoder stays on disk: prompt embeddings are passed in.

    Args:
        location: The model.
        device, dtype: Device and dtype it computes in.
        loras: Changes to the network, applied before it goes to its device.
        quantisation, offload, tiling: As in `runtime.MemoryPlan`.

    Raises:
        ModelMissing: A file is missing, truncated or wrong; the message names it.
        BadInput: A LoRA does not fit the network.
    """
    network = _load_with_loras(location, dtype, quantisation, loras)
    # The shift is a generation setting of the model; the checkpoint's scheduler folder may be Wan's (UniPC, shift 3).
    scheduler = FlowMatchEulerDiscreteScheduler(shift=location.defaults.shift)
    pipeline = OneToAllPipeline(vae=load_vae(location.vae, dtype), transformer=network, scheduler=scheduler)
    place(pipeline, device, offload=offload, tiling=tiling)
    return pipeline


def _load_with_loras(
    location: ModelLocation, dtype: torch.dtype, quantisation: str, loras: Sequence[Lora]
) -> OneToAllTransformer3DModel:
    stored = UNQUANTISED if quantisation in CAST else quantisation
    network = load_network(location, dtype, quantisation=stored)
    for outcome in apply_loras(network, loras) if loras else ():
        _report_unmatched(outcome)
    if quantisation in CAST:
        store_in_fp8(network, dtype)
    return network


def refit(
    pipeline: OneToAllPipeline,
    location: ModelLocation,
    device: torch.device,
    plan: MemoryPlan,
    smaller: MemoryPlan,
    loras: Sequence[Lora] = (),
) -> bool:
    """Make a loaded pipeline follow a smaller plan, in place.

    Args:
        pipeline: A pipeline that follows `plan`.
        location: The model; weights in another format are read from there again.
        device: Device it computes on.
        plan, smaller: The plans.
        loras: The LoRAs it was loaded with.

    Returns:
        Whether the network was loaded again, which loses caches and compiled blocks.
    """
    keeps_weights = (plan.dtype, plan.quantisation) == (smaller.dtype, smaller.quantisation)
    if keeps_weights and plan.offload == "none":
        place(pipeline, device, offload=smaller.offload, tiling=smaller.tiling)
        return False
    if keeps_weights and smaller.offload == plan.offload:  # offloaded already: only tiling is new
        pipeline.vae.enable_tiling()
        return False
    pipeline.register_modules(transformer=None, vae=None)
    release_memory()  # before the new weights are loaded
    dtype = getattr(torch, smaller.dtype)
    network = _load_with_loras(location, dtype, smaller.quantisation, loras)
    pipeline.register_modules(transformer=network, vae=load_vae(location.vae, dtype))
    place(pipeline, device, offload=smaller.offload, tiling=smaller.tiling)
    return True


def place(pipeline: OneToAllPipeline, device: torch.device, *, offload: str, tiling: bool) -> None:
    """Move a pipeline's parts to their devices; blocks must not be offloaded yet.

    Args:
        pipeline: Changed in place.
        device: Device it computes on.
        offload: "blocks" keeps the network on the CPU and copies each block to the device when it runs; "none" moves
            the network to the device.
        tiling: Whether to enable VAE tiling.
    """
    if tiling:
        pipeline.vae.enable_tiling()
    pipeline.vae.to(device)
    if device.type == "cpu" and pipeline.vae.dtype == torch.bfloat16:
        arrange_for_cpu(pipeline.vae)
    if offload == "blocks":
        offload_blocks(pipeline.transformer, device)
    else:
        pipeline.transformer.to(device)


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
    """Write a model folder: diffusers' layout with `generation_config.json`.

    Prompt embeddings are added with `weights.PromptStore(folder / "prompt_embeds.safetensors")`.
    """
    pipeline.save_pretrained(folder, safe_serialization=True)
    defaults.save(folder / "generation_config.json")
