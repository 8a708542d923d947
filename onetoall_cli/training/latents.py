"""Latents of training pictures: encoding, and a cache on disk."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch import Tensor

from onetoall_cli.files import whole_file
from onetoall_cli.lattice import SPATIAL_STRIDE
from onetoall_cli.model.pixels import to_tensor
from onetoall_cli.runtime.stills import encode_sparingly

_log = logging.getLogger(__name__)


def encode_reference(vae: AutoencoderKLWan, reference: Tensor, mask: Tensor) -> Tensor:
    """Encode reference and mask to reference latents (B, 32, 1, H/8, W/8).

    Args:
        vae: The VAE.
        reference: Pictures (B, 3, 1, H, W) in [-1, 1], black (-1) where unknown.
        mask: Unknown pixels, bool (B, 1, 1, H, W); encoded as a picture that is white where unknown.
    """
    white = (mask.float() * 2 - 1).expand_as(reference)
    both = encode_sparingly(vae, torch.cat([reference, white]))
    return torch.cat(both.chunk(2), dim=1)


def no_reference(vae: AutoencoderKLWan, like: Tensor) -> Tensor:
    """Reference latents for "no reference", of a black picture and a black mask, shaped as `like` (B, 32, 1, h, w)."""
    height, width = like.shape[-2] * SPATIAL_STRIDE, like.shape[-1] * SPATIAL_STRIDE
    black = encode_sparingly(vae, torch.full((1, 3, 1, height, width), -1.0))
    return torch.cat([black, black], dim=1).expand(like.shape).to(like)


def encode_window(vae: AutoencoderKLWan, frames: Tensor) -> Tensor:
    """Encode a window, uint8 (T, H, W, 3), to latents as the cache holds them, float16 (16, n, h, w)."""
    return encode_sparingly(vae, to_tensor(frames[None], vae.device))[0].half()


@dataclass(frozen=True, eq=False)
class Stored:
    """A cached window: float16 latents (16, n, h, w), normalised, and float32 keypoints (T, 133, 3)."""

    latents: NDArray[np.float16]
    keypoints: NDArray[np.float32]


class LatentCache:
    """Encoded windows in a folder that belongs to one VAE; safe for several processes."""

    def __init__(self, folder: Path, vae_folder: Path) -> None:
        digest = hashlib.sha256()
        for file in [*sorted(vae_folder.glob("*.safetensors")), vae_folder / "config.json"]:
            digest.update(file.read_bytes())
        self.folder = folder / f"latents-{digest.hexdigest()[:12]}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def has(self, key: str) -> bool:
        """Whether a window is stored."""
        return self._file(key).is_file()

    def get(self, key: str) -> Stored | None:
        """A stored window; None if there is none or its file is damaged, in which case it will be written again."""
        try:
            with np.load(self._file(key)) as data:
                return Stored(data["latents"], data["keypoints"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            _log.warning("The cached latents %s cannot be read (%s) and are encoded again.", self._file(key), error)
            return None

    def put(self, key: str, window: Stored) -> None:
        """Store a window."""
        with whole_file(self._file(key)) as temporary:
            np.savez(temporary, latents=window.latents, keypoints=window.keypoints)
