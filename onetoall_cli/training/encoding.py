"""All latents of a run's videos and pictures before it begins (`onetoall train --prepare`).

Any number of processes share the work that start the same command.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from diffusers import AutoencoderKLWan

from onetoall_cli.training.initial import Start, find_start
from onetoall_cli.training.latents import LatentCache, Stored, encode_window
from onetoall_cli.training.opening import open_source
from onetoall_cli.training.picture_pairs import VideosAndPictures
from onetoall_cli.training.preparation import Progress, share_work
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.sources import ClipSource, FolderSource
from onetoall_cli.weights import load_vae


def open_vae(settings: TrainingSettings, start: Start, device: torch.device) -> tuple[AutoencoderKLWan, LatentCache]:
    """A run's VAE, frozen, and the cache of what it encodes.

    Raises:
        BadInput, ModelMissing: There is no VAE.
    """
    folder = settings.vae or start.whole().vae
    vae = load_vae(folder, torch.bfloat16 if settings.bf16 else torch.float32)
    return vae.to(device).requires_grad_(False), LatentCache(settings.cache, folder)


def prepare(
    settings: TrainingSettings,
    progress: Progress | None = None,
    data_progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Find the poses of a run's videos and pictures and encode all their windows; what is there already stays.

    Args:
        settings: The run's settings.
        progress: Called with (videos and pictures encoded, all of them).
        data_progress: Called with (videos done, all videos) while poses are found.
        note: Called with lines on what was found in the data.

    Returns:
        The folder of the cache.

    Raises:
        BadInput: The data cannot be used.
        ModelMissing: The VAE or the pose detector is missing.
    """
    device = PartialState(cpu=not torch.accelerator.is_available()).device
    vae, cache = open_vae(settings, find_start(settings.init_from), device)
    for folder in _folders(open_source(settings, cache, data_progress, note)):

        def encode(number: int, folder: FolderSource = folder) -> None:
            for key, read in folder.unencoded(number):
                frames, motion = read()
                latents = encode_window(vae, torch.from_numpy(frames))
                cache.put(key, Stored(latents.cpu().numpy(), motion.keypoints[:, 0]))

        def is_encoded(number: int, folder: FolderSource = folder) -> bool:
            return next(folder.unencoded(number), None) is None

        numbers = {f"latents-{name}": number for number, name in enumerate(folder.names)}
        share_work(numbers, encode, is_done=is_encoded, locks=settings.cache / "locks", progress=progress)
    return settings.cache


def _folders(source: ClipSource) -> list[FolderSource]:
    """The parts of a source whose windows can be known beforehand; puppets are drawn."""
    if isinstance(source, VideosAndPictures):
        return [source.videos, source.pictures]
    return [source] if isinstance(source, FolderSource) else []
