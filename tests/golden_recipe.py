"""Weights and inputs that anyone can rebuild: the recipe in which the golden numbers were computed."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

DATA = Path(__file__).parent / "data"

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 128,
    "ffn_dim": 512,
    "text_dim": 64,
    "num_layers": 4,
    "num_reference_layers": 1,
    "num_pose_layers": 2,
}


def recipe_tensor(name: str, shape) -> torch.Tensor:
    """The weight called `name`: random by its name's checksum, scaled by its kind."""
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape), dtype=np.float32)
    if name.endswith("scale_shift_table"):
        z = 0.2 * z
    elif z.ndim == 1 and name.endswith("weight"):
        z = 1 + 0.1 * z
    elif z.ndim == 1:
        z = 0.1 * z
    else:
        z = z / np.sqrt(np.prod(z.shape[1:]))
    return torch.from_numpy(z.astype(np.float32))


def published_state_dict(size: str = "tiny") -> dict[str, torch.Tensor]:
    """The recipe's weights under the published names."""
    shapes = json.loads((DATA / f"state_dict_{size}.json").read_text())
    return {name: recipe_tensor(name, shape) for name, shape in shapes.items()}


def tiny_transformer():
    from onetoall_cli.model import OneToAllTransformer3DModel

    return OneToAllTransformer3DModel.from_published(published_state_dict(), **TINY)


def tiny_vae():
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(**json.loads((DATA / "vae_tiny_config.json").read_text()))
    vae.load_state_dict({name: recipe_tensor(name, value.shape) for name, value in vae.state_dict().items()})
    return vae.eval()


def rnd(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def uniform_video(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32) * 2 - 1)


def picture(seed: int, height: int, width: int) -> Image.Image:
    """Random 8 x 8 blocks of colour."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
