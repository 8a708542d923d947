"""From a model's place on disk to a pipeline ready to run on a device."""

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler

from onetoall_cli.hub import ModelLocation
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.sampling.pipeline import OneToAllPipeline


def load_pipeline(location: ModelLocation, device: torch.device, dtype: torch.dtype) -> OneToAllPipeline:
    """Load network and VAE of `location`. The text encoder stays on disk: prompt embeddings are passed in.

    Raises:
        ModelMissing: a file is missing, truncated or foreign; the message names it.
    """
    if location.transformer_config is None:
        transformer = OneToAllTransformer3DModel.from_pretrained(location.transformer, torch_dtype=dtype)
    else:
        transformer = OneToAllTransformer3DModel.from_published(
            location.transformer, torch_dtype=dtype, **location.transformer_config
        )
    vae = AutoencoderKLWan.from_pretrained(location.vae, torch_dtype=dtype)
    # the shift is the model's generation setting; a checkpoint's own scheduler folder may be Wan's (UniPC, shift 3)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=location.defaults.shift)
    pipeline = OneToAllPipeline(vae=vae.eval(), transformer=transformer.eval(), scheduler=scheduler)
    return pipeline.to(device)
