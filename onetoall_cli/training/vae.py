"""Training of a small Wan VAE (`AutoencoderKLWan`) on the puppet world: stills first, then clips.

The data include masks and black pictures, which the VAE has to encode too. The loss is L1, the L1 of gradients in space
and time at three scales, and a small KL term.
"""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample
from torch import Tensor
from torch.utils.data import DataLoader

from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.metrics import psnr
from onetoall_cli.files import whole_folder
from onetoall_cli.media import picture_grid, write_picture
from onetoall_cli.model.pixels import to_tensor, to_uint8
from onetoall_cli.puppets import Split, sample_scene
from onetoall_cli.runtime.stills import encode_last_frames, restore, stills_as_2d
from onetoall_cli.training.checkpoints import (
    Average,
    Checkpoint,
    LossLog,
    latest_checkpoint,
    load_checkpoint,
    optimiser_tensors,
    prune_checkpoints,
    restore_optimisers,
    save_checkpoint,
)
from onetoall_cli.training.settings import dump_settings
from onetoall_cli.training.vae_data import VaeBatches, VaeSettings
from onetoall_cli.weights import load_vae

_FIRST_LOGVAR = -6.0  # log variance of the initial posterior: noise of deviation 0.05


def build_vae(settings: VaeSettings) -> AutoencoderKLWan:
    """The initial VAE of a run, with gradients only for what the run trains.

    With random weights it treats a clip as independent stills, so that training on stills helps clips too.

    Raises:
        ModelMissing: `init_from` holds no VAE.
    """
    vae = _fresh_vae(settings) if settings.init_from is None else load_vae(settings.init_from, torch.float32).train()
    vae.requires_grad_(True)
    if settings.latent_frame == "last":
        encode_last_frames(vae)
    if settings.train == "decoder":
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    return vae


def _fresh_vae(settings: VaeSettings) -> AutoencoderKLWan:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        vae = AutoencoderKLWan(z_dim=16, **settings.model.arguments())
        _start_as_stills(vae)
    _start_quiet(vae)
    return vae


@torch.no_grad()
def _start_quiet(vae: AutoencoderKLWan) -> None:
    """Start with little posterior noise: noise of deviation 1 would hide the small latents of the first steps."""
    channels = vae.config.z_dim
    vae.quant_conv.weight[channels:] = 0
    vae.quant_conv.bias[channels:] = _FIRST_LOGVAR


@torch.no_grad()
def _start_as_stills(vae: AutoencoderKLWan) -> None:
    """Set all time slices of the kernels but the current frame's to zero; resampling in time averages or repeats."""
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.Conv2d):
            # Unit variance through the one time slice that is not zero. PyTorch's default, meant for three slices,
            # shrinks signals ninefold, and Adam's steps would be large against such weights.
            inputs = module.in_channels * module.kernel_size[-1] * module.kernel_size[-2]
            module.weight.copy_(torch.randn_like(module.weight) / inputs**0.5)
            if module.bias is not None:
                module.bias.zero_()
        if isinstance(module, torch.nn.Conv3d) and module.kernel_size[0] > 1:
            module.weight[:, :, :-1] = 0
    for module in vae.modules():
        if isinstance(module, WanResample) and hasattr(module, "time_conv"):
            _repeat_in_time(module)


def _repeat_in_time(resample: WanResample) -> None:
    """Let an upsampling layer repeat each frame, and a downsampling layer average two frames."""
    kernel = resample.time_conv.weight  # (out, in, 3, 1, 1)
    same = torch.eye(kernel.shape[1])
    kernel.zero_()
    if resample.mode == "upsample3d":
        kernel[:, :, -1, 0, 0] = torch.cat([same, same])
    else:
        kernel[:, :, -1, 0, 0] = kernel[:, :, -2, 0, 0] = same / 2


def reconstruction_loss(restored: Tensor, truth: Tensor, gradient_weight: float) -> Tensor:
    """L1 of clips (B, 3, T, H, W), plus L1 of their gradients in space and time at full, half and quarter size."""
    error = restored.float() - truth.float()
    loss = error.abs().mean()
    for _ in range(3):
        for axis in (-1, -2, -3) if error.shape[-3] > 1 else (-1, -2):
            loss = loss + gradient_weight / 6 * error.diff(dim=axis).abs().mean()
        error = F.avg_pool3d(error, (1, 2, 2))
    return loss


def learning_rate(settings: VaeSettings, step: int) -> float:
    """The learning rate at a step: a cosine from `lr` to `final_lr`, with a linear warm-up in every phase.

    Without the warm-up, kernels of past frames, which are zero until the first clips, would all step in one direction.
    """
    part = step / max(1, settings.steps)
    rate = settings.final_lr + (settings.lr - settings.final_lr) * (1 + np.cos(np.pi * part)) / 2
    return float(rate * min(1.0, (settings.step_in_phase(step) + 1) / settings.warmup))


def train_vae(settings: VaeSettings, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Train to the last step, continuing from the newest checkpoint in `settings.output`; returns the VAE's folder.

    The run's folder gets `checkpoints/`, `loss.csv`, `samples/*.png`, `settings.yaml` and at the end `vae/`: averaged
    weights in bfloat16 (diffusers layout), with the latents' mean and deviation on training pictures in its config.

    Raises:
        ModelMissing: `init_from` holds no VAE.
    """
    torch.set_num_threads(settings.threads)
    run = settings.output
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.yaml").write_text(dump_settings(settings), encoding="utf-8")
    state = _VaeState(settings)
    log = LossLog(run / "loss.csv", ("loss", "kl", "lr", "psnr", "seconds"), state.step)
    for batch in _batches(settings, state.step):
        started = time.perf_counter()
        figures = state.update(batch)
        log.add(state.step - 1, **figures, seconds=time.perf_counter() - started)
        if progress:
            progress(state.step, settings.steps)
        if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
            save_checkpoint(run, state.checkpoint())
            prune_checkpoints(run, settings.keep_checkpoints)
        if settings.sample_every and state.step % settings.sample_every == 0:
            _write_samples(state.averaged(), run / "samples" / f"step-{state.step:07d}.png", settings)
    return finish_vae(state.averaged(), settings)


def export_vae(settings: VaeSettings) -> Path:
    """Write `vae/` from the newest checkpoint of a run, finished or not; returns its folder.

    Raises:
        BadInput: The run has no checkpoint.
    """
    if latest_checkpoint(settings.output) is None:
        raise BadInput(f"{settings.output} has no checkpoint yet.", "Let the training run further.")
    return finish_vae(_VaeState(settings).averaged(), settings)


def _batches(settings: VaeSettings, first: int) -> Iterator[Tensor]:
    steps = range(first, settings.steps)
    yield from DataLoader(VaeBatches(settings), batch_size=None, sampler=steps, num_workers=1, prefetch_factor=4)  # type: ignore[arg-type]


class _VaeState:
    """A VAE in training: float32 weights, their working copy, optimiser, averaged weights and step number."""

    def __init__(self, settings: VaeSettings) -> None:
        self.settings = settings
        self.step = 0
        self.vae = build_vae(settings)
        self.optimiser = torch.optim.AdamW(self.vae.parameters(), lr=settings.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        self.average = Average(self.vae, settings.ema)
        # The working copy is all bf16: autocast keeps norms and activations in float32 and takes twice as long.
        self.worker = copy.deepcopy(self.vae).to(torch.bfloat16 if settings.bf16 else torch.float32)
        folder = latest_checkpoint(settings.output)
        if folder:
            self._restore(load_checkpoint(folder))

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step = checkpoint.step
        self.average.restore(checkpoint)
        self.vae.load_state_dict(checkpoint.weights)
        restore_optimisers([self.optimiser], self.vae, checkpoint.optimiser)
        self._hand_weights_to_worker()

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.step,
            self.average.updates,
            weights=self.vae.state_dict(),
            average=self.average.values,
            optimiser=optimiser_tensors([self.optimiser], self.vae),
        )

    def averaged(self) -> AutoencoderKLWan:
        """A copy of the VAE with the averaged weights."""
        vae = AutoencoderKLWan.from_config(self.vae.config)
        vae.load_state_dict(self.average.merged(self.vae))
        return vae.to(self.worker.dtype).eval()

    def update(self, batch: Tensor) -> dict[str, float]:
        """Do one optimiser step, and return the figures for the log."""
        settings = self.settings
        rate = learning_rate(settings, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.random.fork_rng(), stills_as_2d(self.worker):
            torch.manual_seed(settings.seed * 1_000_003 + self.step)
            posterior = self.worker.encode(batch.to(self.worker.dtype)).latent_dist
            restored = self.worker.decode(posterior.sample()).sample
        mean, variance = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + variance.exp() - 1 - variance).mean()
        loss = reconstruction_loss(restored, batch, settings.gradient_weight) + settings.kl_weight * kl
        self.worker.zero_grad(set_to_none=True)
        loss.backward()
        self._apply_gradients()
        self.average.update(self.vae)
        self.step += 1
        return {"loss": loss.item(), "kl": kl.item(), "lr": rate, "psnr": _likeness(restored, batch)}

    def _apply_gradients(self) -> None:
        """Update the float32 weights by the working copy's gradients, then round them into the working copy."""
        for parameter, working in zip(self.vae.parameters(), self.worker.parameters(), strict=True):
            parameter.grad = None if working.grad is None else working.grad.float()
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), self.settings.clip)
        self.optimiser.step()
        self._hand_weights_to_worker()

    @torch.no_grad()
    def _hand_weights_to_worker(self) -> None:
        for parameter, working in zip(self.vae.parameters(), self.worker.parameters(), strict=True):
            working.copy_(parameter)


def _likeness(restored: Tensor, truth: Tensor) -> float:
    """PSNR in dB of clips (B, 3, T, H, W) in [-1, 1], the mean over their frames."""
    made, true = (to_uint8(clips.transpose(1, 2).flatten(0, 1)) for clips in (restored, truth))
    return psnr(made, true)


def held_out(frames: int, count: int, split: Split = "validation") -> Tensor:
    """Puppets of a split that no VAE is trained on, (count, 3, frames, 192, 128) in [-1, 1]."""
    films = [sample_scene(split, seed, width=128, height=192, frames=frames).film().frames for seed in range(count)]
    return to_tensor(np.stack(films))


def _write_samples(vae: AutoencoderKLWan, path: Path, settings: VaeSettings) -> None:
    """Write held-out puppets above their reconstructions: eight stills, and the last frames of two short clips."""
    stills, clips = held_out(1, 8), held_out(9, 2)
    rows = []
    truth = torch.cat([stills[:, :, 0], clips[:, :, -1]])
    restored = torch.cat([restore(vae, stills)[:, :, 0], restore(vae, clips)[:, :, -1]])
    for pictures in (truth, restored):
        rows.append(list(to_uint8(pictures)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, picture_grid(rows))


@torch.no_grad()
def latent_statistics(vae: AutoencoderKLWan, seed: int, count: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over training puppets: stills and short clips."""
    rng = np.random.default_rng([seed, 2**31])
    values = []
    with stills_as_2d(vae):
        for index in range(count):
            frames = 9 if index % 4 == 0 else 1
            scene = sample_scene("train", int(rng.integers(2**31)), width=128, height=192, frames=frames)
            pictures = to_tensor(scene.film(supersample=2).frames[None])
            latents = vae.encode(pictures.to(vae.dtype)).latent_dist.mode()
            values.append(latents.float().transpose(0, 1).flatten(1))
    flat = torch.cat(values, dim=1)
    return flat.mean(dim=1).tolist(), flat.std(dim=1).tolist()


def finish_vae(vae: AutoencoderKLWan, settings: VaeSettings) -> Path:
    """Save `vae/` in bf16 (diffusers layout), with newly measured latent statistics if the encoder was trained."""
    if settings.train == "all":
        mean, std = latent_statistics(vae, settings.seed, settings.statistics)
        vae.register_to_config(latents_mean=mean, latents_std=std)
    folder = settings.output / "vae"
    with whole_folder(folder, "network") as temporary:
        vae.to(torch.bfloat16).save_pretrained(temporary)
    return folder


def measure_vae(vae: AutoencoderKLWan, *, split: Split = "test", count: int = 32) -> dict[str, float]:
    """PSNR in dB of `count` reconstructed stills and `count` / 8 reconstructed 17-frame clips of a split, 128 x 192."""
    if count < 8:
        raise BadInput(f"{count} puppets are too few to measure a VAE.", "Use at least 8.")
    figures: dict[str, Any] = {}
    for name, frames, number in (("stills", 1, count), ("clips", 17, count // 8)):
        values = [_likeness(restore(vae, clip[None]), clip[None]) for clip in held_out(frames, number, split)]
        figures[name] = float(np.mean(values))
    return figures
