"""Training of the evaluation's segmenter, which finds puppets in generated pictures.

`python -m onetoall_cli.evaluation.puppets.segmenter_training FOLDER [STEPS]` trains it and prints its validation IoU.

The pictures show puppets of the training split at random framing. Half of them pass through the small VAE with noise
on their latents; then all are blurred, shifted in colour and made noisy. No result of a measured model is used.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, UNet2DModel
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from onetoall_cli.evaluation.metrics import overlap
from onetoall_cli.evaluation.puppets.segmenter import fresh_network, logits, puppet_logits
from onetoall_cli.files import whole_folder
from onetoall_cli.hub.location import SHIPPED
from onetoall_cli.model.pixels import to_tensor, to_uint8
from onetoall_cli.puppets import MOVE_FRAMES, Split, sample_scene
from onetoall_cli.runtime.stills import encode_sparingly
from onetoall_cli.runtime.vae import decode_frames
from onetoall_cli.weights import load_vae

STEPS, BATCH, RATE = 800, 8, 2e-3
SIZES = ((128, 192), (192, 192), (192, 288))  # width, height
_MOST_NOISE = 0.8  # on latents of deviation 1
_MOST_BLUR = 2.5  # pixels


class Puppets(Dataset):
    """Batch number `step`: float32 pictures (B, 3, H, W) in [-1, 1] and coverage (B, H, W) in [0, 1]."""

    def __init__(self, split: Split, batch: int, steps: int) -> None:
        self.split, self.batch, self.steps = split, batch, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([1, step])
        width, height = SIZES[int(rng.integers(len(SIZES)))]
        clips = [
            sample_scene(self.split, int(rng.integers(2**31)), width=width, height=height, frames=MOVE_FRAMES)
            .cut(slice(moment := int(rng.integers(MOVE_FRAMES)), moment + 1))
            .film(supersample=2)
            for _ in range(self.batch)
        ]
        masks = torch.from_numpy(np.concatenate([clip.masks for clip in clips]))
        return to_tensor(np.stack([clip.frames for clip in clips]))[:, :, 0], masks.float() / 255


@torch.no_grad()
def degraded(pictures: Tensor, vae: AutoencoderKLWan, source: torch.Generator) -> Tensor:
    """Degrade pictures (B, 3, H, W) as generated ones may be; the first half passes through the VAE."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=source) * (high - low) + low

    half = len(pictures) // 2
    latents = encode_sparingly(vae, pictures[:half, :, None])
    latents = latents + uniform(0, _MOST_NOISE, half, 1, 1, 1, 1) * torch.randn(latents.shape, generator=source)
    (decoded,) = decode_frames(vae, latents)
    whole = torch.cat([decoded[:, :, 0], pictures[half:]])
    changed = [_blurred(picture, float(uniform(0, _MOST_BLUR, 1))) for picture in whole]
    result = torch.stack(changed) * uniform(0.85, 1.15, len(pictures), 3, 1, 1)
    result = result + uniform(-0.15, 0.15, len(pictures), 3, 1, 1)
    noise = uniform(0, 0.08, len(pictures), 1, 1, 1) * torch.randn(result.shape, generator=source)
    return (result + noise).clamp(-1, 1)


def _blurred(picture: Tensor, deviation: float) -> Tensor:
    """A picture (3, H, W) blurred by a Gaussian of `deviation` pixels."""
    sharp = picture.movedim(0, -1).numpy()
    blurred = cv2.GaussianBlur(sharp, (0, 0), max(deviation, 0.1), borderType=cv2.BORDER_REPLICATE)
    return torch.from_numpy(blurred).movedim(-1, 0)


def train_segmenter(vae: AutoencoderKLWan, steps: int = STEPS, batch: int = BATCH) -> UNet2DModel:
    """Train a network from random weights; the same arguments give the same one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = fresh_network()
    source = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for step, (pictures, coverage) in enumerate(DataLoader(Puppets("train", batch, steps), None, num_workers=1)):
        with torch.autocast("cpu", torch.bfloat16):
            guess = logits(network, degraded(pictures, vae, source))
        loss = F.binary_cross_entropy_with_logits(guess.float(), coverage)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.4f}", flush=True)
    return network.eval()


def measure_segmenter(network: UNet2DModel, vae: AutoencoderKLWan, count: int = 16) -> dict[str, float]:
    """Foreground IoU on `count` batches of validation puppets, exact and degraded."""
    source = torch.Generator().manual_seed(1)
    found: dict[str, list[float]] = {"exact": [], "degraded": []}
    for pictures, coverage in (Puppets("validation", BATCH, count)[step] for step in range(count)):
        for name, shown in (("exact", pictures), ("degraded", degraded(pictures, vae, source))):
            found[name].append(overlap(puppet_logits(to_uint8(shown), network) > 0, coverage.numpy() >= 0.5))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main(folder: Path, steps: int) -> None:
    """Train, save in float16, and print the IoU."""
    vae = load_vae(SHIPPED / "tiny" / "vae", torch.bfloat16)
    network = train_segmenter(vae, steps)
    with whole_folder(folder, "network") as temporary:
        network.half().save_pretrained(temporary)
    for name, value in measure_segmenter(network.float(), vae).items():
        print(f"IoU, {name}: {value:.3f}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("Usage: python -m onetoall_cli.evaluation.puppets.segmenter_training FOLDER [STEPS]")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else STEPS)
