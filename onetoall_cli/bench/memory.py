"""Check of the memory model: estimated and measured peak memory of single phases on the CPU.

`python -m onetoall_cli.bench.memory` prints the table (Linux). Each measurement is a process of its own: its peak
resident memory minus the memory after the imports.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.lattice import latent_shape
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.configs import CONFIG_1_3B
from onetoall_cli.model.precision import is_kept_wide
from onetoall_cli.runtime.freed_memory import return_freed_memory
from onetoall_cli.runtime.memory import Workload, config_json, estimate
from onetoall_cli.runtime.peak_memory import read_peak, start_peak
from onetoall_cli.runtime.vae import decode_frames
from onetoall_cli.weights.quantise import quantise_in_place

CPU = torch.device("cpu")
SMALL_VAE = {"base_dim": 32, "num_res_blocks": 1}
WAN_VAE = {"base_dim": 96, "num_res_blocks": 2}


@dataclass(frozen=True)
class MemoryCase:
    """One phase of one configuration.

    Attributes:
        phase: One of `Estimate.phases`.
        height, width, frames: Size of the segment in pixels and frames.
        dtype: "bfloat16" or "float32".
        quantisation: "none", "int8" or "nf4".
        tiling: Whether the VAE works in tiles.
        heads, layers, pose_layers: Sizes of the network; a head has 128 channels.
        vae: Arguments of `AutoencoderKLWan`.
    """

    phase: str
    height: int
    width: int
    frames: int
    dtype: str = "bfloat16"
    quantisation: str = "none"
    tiling: bool = False
    heads: int = 8
    layers: int = 4
    pose_layers: int = 2
    vae: tuple[tuple[str, int], ...] = tuple(SMALL_VAE.items())

    @property
    def network(self) -> dict[str, Any]:
        return {
            **CONFIG_1_3B,
            "num_attention_heads": self.heads,
            "ffn_dim": 640 * self.heads,
            "num_layers": self.layers,
            "num_reference_layers": 1,
            "num_pose_layers": self.pose_layers,
            "text_dim": 64,
        }

    @property
    def workload(self) -> Workload:
        vae = config_json(AutoencoderKLWan(**dict(self.vae)).config)
        return Workload(
            config_json(self.network), vae, self.height, self.width, self.frames, text_rows=TEXT_ROWS, references=1
        )


TEXT_ROWS = 20

CASES = (
    MemoryCase("denoising", 256, 384, 29),
    MemoryCase("denoising", 384, 256, 49, heads=10, layers=3, pose_layers=1),
    MemoryCase("denoising", 256, 256, 29, dtype="float32", heads=8, pose_layers=1),
    MemoryCase("denoising", 256, 384, 29, quantisation="int8"),
    MemoryCase("denoising", 256, 384, 29, quantisation="nf4"),
    MemoryCase("pose", 256, 384, 49),
    MemoryCase("pose", 480, 832, 17),
    MemoryCase("pose", 192, 256, 49, dtype="float32"),
    MemoryCase("conditions", 256, 384, 5),
    MemoryCase("decoding", 192, 256, 13),
    MemoryCase("decoding", 256, 384, 13),
    MemoryCase("decoding", 192, 256, 9, dtype="float32"),
    MemoryCase("decoding", 96, 128, 9, vae=tuple(WAN_VAE.items())),
    MemoryCase("decoding", 320, 384, 13, tiling=True),
)


def estimated(case: MemoryCase) -> int:
    """Estimated bytes of the case's phase, without weights that the phase does not use."""
    plan = {"dtype": getattr(torch, case.dtype), "quantisation": case.quantisation, "tiling": case.tiling}
    whole = estimate(case.workload, device="cpu", offload="none", **plan)
    network, vae = _weights(case)
    unused = vae if case.phase in ("denoising", "pose") else network
    return whole.phases[case.phase] - unused


def _weights(case: MemoryCase) -> tuple[int, int]:
    from onetoall_cli.runtime.memory import _vae_weights, network_weights

    dtype = getattr(torch, case.dtype)
    return (
        network_weights(case.workload.network, dtype, case.quantisation).total,
        _vae_weights(case.workload.vae, dtype),
    )


def measured(case: MemoryCase) -> int:
    """Measured peak of the case's phase in bytes: resident memory, weights included."""
    command = [sys.executable, "-m", "onetoall_cli.bench.memory", str(CASES.index(case))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _run(case: MemoryCase) -> int:
    """Run the phase in this process."""
    return_freed_memory()
    dtype = getattr(torch, case.dtype)
    torch.nn.functional.conv3d(torch.randn(1, 4, 4, 16, 16).to(dtype), torch.randn(4, 4, 3, 3, 3).to(dtype))
    before = start_peak(CPU)
    assert before is not None
    with torch.no_grad():
        {"denoising": _denoise, "pose": _pose, "conditions": _encode, "decoding": _decode}[case.phase](case, dtype)
    peak = read_peak(CPU)
    assert peak is not None
    return peak - before


def _filled(module: torch.nn.Module, dtype_of: Callable[[str], torch.dtype]) -> None:
    weights = module.state_dict().items()
    state = {name: torch.empty(like.shape, dtype=dtype_of(name)).normal_(std=0.02) for name, like in weights}
    module.load_state_dict(state, assign=True)


def _network(case: MemoryCase, dtype: torch.dtype) -> OneToAllTransformer3DModel:
    with torch.device("meta"):
        network = OneToAllTransformer3DModel(**case.network)
    _filled(network, lambda name: torch.float32 if is_kept_wide(name) else dtype)
    if case.quantisation != "none":
        quantise_in_place(network, case.quantisation, dtype)
        start_peak(CPU)  # again: the peak of quantising is higher than the phase's
    return network.eval()


def _vae(case: MemoryCase, dtype: torch.dtype) -> AutoencoderKLWan:
    with torch.device("meta"):
        vae = AutoencoderKLWan(**dict(case.vae))
    _filled(vae, lambda name: dtype)
    if case.tiling:
        vae.enable_tiling()
    return vae.eval()


def _latents(case: MemoryCase) -> torch.Tensor:
    return torch.randn(1, 16, *latent_shape(case.frames, case.height, case.width))


def _denoise(case: MemoryCase, dtype: torch.dtype) -> None:
    network = _network(case, dtype)
    pose_video = torch.zeros(1, 3, case.frames, case.height, case.width, dtype=dtype)  # as the pipeline holds it
    latents = _latents(case).to(dtype)
    reference = latents[:, :, :1].repeat(1, 2, 1, 1, 1)
    rotary = network.rotary_tables(latents.shape[2] + 1, *latents.shape[3:])
    pose = torch.randn(1, rotary.full.cos.shape[0], case.heads * 128).to(dtype)
    network.denoise(
        latents,
        500.0,
        text=network.encode_text(torch.randn(1, TEXT_ROWS, 64).to(dtype)),
        reference_features=network.extract_reference(reference, 500.0, rotary),
        prefix=network.encode_prefix(reference),
        rotary=rotary,
        pose=pose,
        num_context_frames=2,
    )
    del pose_video


def _pose(case: MemoryCase, dtype: torch.dtype) -> None:
    network = _network(case, dtype)
    video = torch.zeros(1, 3, case.frames, case.height, case.width, dtype=dtype).uniform_()
    network.encode_pose(video, video[:, :, :1])


def _encode(case: MemoryCase, dtype: torch.dtype) -> None:
    vae = _vae(case, dtype)
    vae.encode(torch.zeros(1, 3, case.frames, case.height, case.width, dtype=dtype).uniform_())


def _decode(case: MemoryCase, dtype: torch.dtype) -> None:
    for _ in decode_frames(_vae(case, dtype), _latents(case)):
        pass


def main() -> None:
    if len(sys.argv) > 1:
        print(_run(CASES[int(sys.argv[1])]))
        return
    print(
        "| phase | size x frames | model | format | estimated MB | measured MB | ratio |\n|---|---|---|---|---|---|---|"
    )
    for case in CASES:
        guess, truth = estimated(case), measured(case)
        model = f"width {128 * case.heads}, {case.layers}+{case.pose_layers} blocks"
        if case.phase in ("conditions", "decoding"):
            model = f"VAE base {dict(case.vae)['base_dim']}" + (", tiled" if case.tiling else "")
        precision = case.dtype if case.quantisation == "none" else case.quantisation
        size = f"{case.width} x {case.height} x {case.frames}"
        print(
            f"| {case.phase} | {size} | {model} | {precision} | {guess / 1e6:.0f} | {truth / 1e6:.0f} "
            f"| {guess / truth:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
