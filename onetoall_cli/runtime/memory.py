"""The memory model: from configurations, size and number format to the bytes each phase of a segment takes at most.

Weights are counted on the meta device. The convolutional parts (VAE, pose encoder) are traced there, as they run. The
denoiser's pass is a sum over the tensors alive at its fullest moment, in units of one token sequence.
`runtime.measure` compares it with measured memory.
"""

import functools
import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from onetoall_cli.hub.network import is_kept_wide
from onetoall_cli.hub.quantise import quantisable_linears
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.attention import DEVICE_PIECE
from onetoall_cli.model.blocks import CPU_FEED_FORWARD_PIECE
from onetoall_cli.runtime.decoding import TEMPORAL_STRIDE, decode_frames
from onetoall_cli.runtime.tracing import traced_peak

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

TILE = 256  # pixels, side of diffusers' default VAE tile
TILE_STRIDE = 192  # pixels from tile to tile; the rest is blended

# Bytes a quantised weight takes: int8 with a float32 scale per row (added apart); NF4 with double quantised scales,
# one byte per 64 values and 4 per 256 of those.
QUANTISED_BYTES = {"int8": 1.0, "nf4": 0.5 + 1 / 64 + 4 / (64 * 256)}

# What the convolution kernels of a CPU add by rearranging their input and output. Measured with `runtime.measure`.
CPU_CONVOLUTIONS = {torch.bfloat16: 1.15, torch.float16: 1.15, torch.float32: 1.4}

# Token sequences (L x width) alive at the fullest moment of a block: its input, the normalised input, both queries,
# key, value and the attended values. bfloat16 on a CPU rearranges the keys.
BLOCK_SEQUENCES = 7
CPU_NARROW_SEQUENCES = 1
# LLM.int8 while it makes the last of query, key and value: the input in float16 and in int8, the product in int32.
INT8_SEQUENCES = 2.5
# In the feed-forward: the block's input, the normalised input, the attended input, the finished pieces.
FEED_FORWARD_SEQUENCES = 4
FLOAT_TEMPORARIES = 4  # float32 copies of one piece of tokens in the norms and gated sums


@dataclass(frozen=True)
class Workload:
    """What is generated with which model: all that memory depends on besides the plan.

    Attributes:
        network: The network's configuration (constructor arguments), as JSON, so that the value can be compared.
        vae: The VAE's, likewise.
        height, width: Pixels.
        frames: Of the longest segment, 4k + 1.
        text_rows: Rows of both prompts' embeddings that are no padding.
        references: How many references the passes use, 1 or 2 (the black one).
        context: Whether segments continue from others.
    """

    network: str
    vae: str
    height: int
    width: int
    frames: int
    text_rows: int = 256
    references: int = 2
    context: bool = True

    @property
    def network_config(self) -> dict[str, Any]:
        return json.loads(self.network)

    @property
    def video_pixels(self) -> int:
        return self.frames * self.height * self.width

    @property
    def frame_tokens(self) -> int:
        return (self.height // 16) * (self.width // 16)

    @property
    def tokens(self) -> int:
        """Of the denoiser: the segment's latent frames and the prefix."""
        return ((self.frames - 1) // TEMPORAL_STRIDE + 2) * self.frame_tokens


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device at the fullest moment of each phase, weights included.

    Attributes:
        phases: "conditions" (VAE encoding), "pose", "denoising", "decoding".
        weights: Of these, the weights that stay on the device all the time.
        host: Main memory for weights that wait there.
    """

    phases: Mapping[str, int]
    weights: int
    host: int

    @property
    def peak(self) -> int:
        return max(self.phases.values())


def config_json(config: Mapping[str, Any]) -> str:
    """A configuration as the comparable text that `Workload` holds."""
    return json.dumps({name: value for name, value in config.items() if not name.startswith("_")}, sort_keys=True)


def estimate(
    workload: Workload, *, device: str, dtype: torch.dtype, quantisation: str, offload: str, tiling: bool
) -> Estimate:
    """Bytes each phase takes.

    Args:
        workload: What is generated.
        device: "cpu", "cuda" or "mps".
        dtype: Of activations and unquantised weights.
        quantisation: Of the network: "none", "int8" or "nf4".
        offload: "blocks": the network's weights wait in main memory. "none": all are on the device.
        tiling: Whether the VAE works in tiles.
    """
    network = network_weights(workload.network, dtype, quantisation)
    vae = _vae_weights(workload.vae, dtype)
    on_device = network.largest_group if offload == "blocks" else network.total
    pose_video = 3 * workload.video_pixels * dtype.itemsize if device == "cpu" else 0  # kept to the segment's end
    conditions = _encoding(workload, device, dtype, tiling)
    pose_tokens = workload.tokens * network.width * dtype.itemsize
    kept = pose_video + _text(workload, dtype) + _rotary(workload)
    phases = {
        "conditions": on_device * (offload == "none") + vae + pose_video + conditions,
        "pose": on_device + vae + kept + max(_pose_encoding(workload, device, dtype), 3 * pose_tokens),
        "denoising": on_device + vae + kept + pose_tokens + _denoising(workload, device, dtype, quantisation),
        "decoding": on_device * (offload == "none") + vae + _decoding(workload, device, dtype, tiling),
    }
    resident = vae + (network.total if offload == "none" else 0)
    return Estimate(phases, resident, network.total if offload == "blocks" else 0)


@dataclass(frozen=True)
class NetworkWeights:
    """Bytes of a network's weights.

    Attributes:
        total: All of them.
        largest_group: The most that is on the device at once when blocks come one at a time.
        largest_linear: Of the widest linear layer, unquantised.
        width: Channels of its tokens.
    """

    total: int
    largest_group: int
    largest_linear: int
    width: int


@functools.lru_cache
def network_weights(config: str, dtype: torch.dtype, quantisation: str) -> NetworkWeights:
    """Count a network's weights without making them."""
    with torch.device("meta"):
        network = OneToAllTransformer3DModel.from_config(json.loads(config))
    quantised = quantisable_linears(network) if quantisation != "none" else set()
    sizes: dict[str, int] = {}
    largest_linear = 0
    for name, tensor in network.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module in quantised and kind == "weight":
            scales = 4 * tensor.shape[0] if quantisation == "int8" else 0
            sizes[name] = int(tensor.numel() * QUANTISED_BYTES[quantisation]) + scales
        else:
            sizes[name] = tensor.numel() * (4 if is_kept_wide(name) else dtype.itemsize)
        if tensor.ndim == 2:
            largest_linear = max(largest_linear, tensor.numel() * dtype.itemsize)
    width = network.config["num_attention_heads"] * network.config["attention_head_dim"]
    return NetworkWeights(sum(sizes.values()), _largest_group(network, sizes), largest_linear, width)


def _largest_group(network: OneToAllTransformer3DModel, sizes: Mapping[str, int]) -> int:
    """What diffusers' group offloading holds on the device: one denoiser block and what no block is part of."""
    block = sum(size for name, size in sizes.items() if name.startswith("blocks.0."))
    grouped = ("blocks", *network._group_offload_block_modules, "text_keys")
    loose = sum(size for name, size in sizes.items() if name.split(".")[0] not in grouped)
    return block + loose


@contextmanager
def _default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _empty_vae(config: str, dtype: torch.dtype) -> "AutoencoderKLWan":
    from diffusers import AutoencoderKLWan

    with torch.device("meta"), _default_dtype(dtype):
        return AutoencoderKLWan.from_config(json.loads(config))


@functools.lru_cache
def _vae_weights(config: str, dtype: torch.dtype) -> int:
    return sum(weight.nbytes for weight in _empty_vae(config, dtype).parameters())


def _convolutions(device: str, dtype: torch.dtype, work: Callable[[], object]) -> int:
    """What convolutional code takes on `device`: the tensors it makes, and what a CPU's kernels add."""
    return int(traced_peak(work) * (CPU_CONVOLUTIONS[dtype] if device == "cpu" else 1))


@functools.lru_cache
def _encoding(workload: Workload, device: str, dtype: torch.dtype, tiling: bool) -> int:
    """Of the VAE while it encodes the pictures, and the frames carried over."""
    vae = _empty_vae(workload.vae, dtype)
    height, width = _tile(workload) if tiling else (workload.height, workload.width)
    frames = 1 + TEMPORAL_STRIDE * workload.context
    with torch.device("meta"):
        pictures = torch.empty(1, 3, frames, height, width, dtype=dtype)
        return _convolutions(device, dtype, lambda: vae.encode(pictures))


@functools.lru_cache
def _decoding(workload: Workload, device: str, dtype: torch.dtype, tiling: bool) -> int:
    """Of the VAE while it decodes. From the third latent frame on every frame takes the same."""
    vae = _empty_vae(workload.vae, dtype)
    height, width = _tile(workload) if tiling else (workload.height, workload.width)
    latent_frames = min(3, (workload.frames - 1) // TEMPORAL_STRIDE + 1)
    with torch.device("meta"):
        latents = torch.empty(1, vae.config.z_dim, latent_frames, height // 8, width // 8)
        streamed = _convolutions(device, dtype, lambda: [None for _ in decode_frames(vae, latents)])
    if (height, width) == (workload.height, workload.width):
        return streamed
    # diffusers keeps every tile of every frame, overlaps included, and then joins them in rows and in frames
    frames = 3 * workload.video_pixels * dtype.itemsize
    tiles = int(frames * (TILE / TILE_STRIDE) ** 2)
    return max(streamed + tiles, tiles + 2 * frames)


def _tile(workload: Workload) -> tuple[int, int]:
    return min(workload.height, TILE), min(workload.width, TILE)


@functools.lru_cache
def _pose_encoding(workload: Workload, device: str, dtype: torch.dtype) -> int:
    """Of the pose encoder, its input included."""
    config = workload.network_config
    shallow = {**config, "num_layers": 2, "num_reference_layers": 1, "num_pose_layers": 1}
    with torch.device("meta"), _default_dtype(dtype):
        network = OneToAllTransformer3DModel.from_config(shallow)
        video = torch.empty(1, 3, workload.frames, workload.height, workload.width)
        reference = torch.empty(1, 3, 1, workload.height, workload.width)
    video_bytes = 0 if device == "cpu" else video.nbytes  # on a CPU it is there anyway
    return video_bytes + _convolutions(device, dtype, lambda: network.encode_pose(video, reference))


def _denoising(workload: Workload, device: str, dtype: torch.dtype, quantisation: str) -> int:
    """Of one step: the fullest moment of a pass, the reference features, the latents."""
    config = workload.network_config
    weights = network_weights(workload.network, dtype, quantisation)
    sequence = workload.tokens * weights.width * dtype.itemsize
    features = (
        workload.references
        * (config["num_reference_layers"] + 1)
        * workload.frame_tokens
        * weights.width
        * dtype.itemsize
    )
    latents = 6 * 16 * (workload.tokens * 4) * 4  # float32 (1, 16, n, h, w): noise, velocities, the step's result
    piece = min(workload.tokens, CPU_FEED_FORWARD_PIECE if device == "cpu" else DEVICE_PIECE)
    temporaries = 0 if device == "cpu" else FLOAT_TEMPORARIES * piece * weights.width * 4
    hidden = piece * (2 * config["ffn_dim"] + 2 * weights.width) * dtype.itemsize
    # in the refiner's last block: the tokens, its own input, the residuals of the blocks before
    poses = config["num_pose_layers"] * sequence
    in_refiner = poses + (sequence if config["num_pose_layers"] > 1 else 0)
    attention = BLOCK_SEQUENCES * sequence
    if device == "cpu" and dtype != torch.float32:
        attention += CPU_NARROW_SEQUENCES * sequence
    if quantisation == "int8":
        attention += int(INT8_SEQUENCES * sequence)
    elif quantisation == "nf4":
        attention += weights.largest_linear
    feed_forward = FEED_FORWARD_SEQUENCES * sequence + hidden
    return features + latents + temporaries + max(attention + poses, feed_forward + in_refiner)


def _text(workload: Workload, dtype: torch.dtype) -> int:
    """Keys and values of the prompts for every block."""
    config = workload.network_config
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return 2 * workload.text_rows * width * config["num_layers"] * dtype.itemsize


def _rotary(workload: Workload) -> int:
    """Two tables of cosines and sines, float32."""
    return 4 * workload.tokens * workload.network_config["attention_head_dim"] * 4
