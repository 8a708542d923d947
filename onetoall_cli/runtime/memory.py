"""The memory model: from configurations, size and number format to the bytes each phase of a segment takes at most.

Weights are counted on the meta device. The convolutional parts (VAE, pose encoder) are traced there, as they run. The
denoiser's pass is a sum over the tensors alive at its fullest moment, in units of one token sequence.
`runtime.measure` compares it with measured memory.
"""

import functools
import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from onetoall_cli.lattice import CONTEXT_FRAMES, SIZE_MULTIPLE, latent_frames, latent_shape
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.attention import DEVICE_PIECE
from onetoall_cli.model.blocks import CPU_FEED_FORWARD_PIECE
from onetoall_cli.model.pose import PoseEncoder
from onetoall_cli.model.precision import is_kept_wide, quantisable_linears
from onetoall_cli.precisions import QUANTISED, UNQUANTISED
from onetoall_cli.runtime.offloading import BLOCKS_ON_DEVICE
from onetoall_cli.runtime.traced_memory import traced_peak
from onetoall_cli.runtime.vae import decode_frames

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

TILE = 256  # pixels, side of diffusers' default VAE tile
TILE_STRIDE = 192  # pixels from tile to tile; the rest is blended

# What the convolution kernels of a CPU add by rearranging their input and output, measured with `runtime.measure`. In
# the pose encoder it is made up for in bfloat16, whose norms need no float32 copies there, which the trace counts.
CPU_VAE = {torch.bfloat16: 1.15, torch.float16: 1.15, torch.float32: 1.4}
CPU_POSE = {torch.bfloat16: 1.0, torch.float16: 1.0, torch.float32: 1.45}

# Token sequences (L x width) alive at the fullest moment of a block: its input, the normalised input, both queries,
# key, value and the attended values. bfloat16 on a CPU rearranges the keys.
BLOCK_SEQUENCES = 7
CPU_NARROW_SEQUENCES = 1
# When LLM.int8 makes the last of query, key and value, so many are there.
INT8_SEQUENCES = 5
# Dequantising an NF4 weight for its product takes its unquantised size so many times on a CPU: indices, float32 values.
CPU_NF4 = 5
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
        return (self.height // SIZE_MULTIPLE) * (self.width // SIZE_MULTIPLE)

    @property
    def tokens(self) -> int:
        """Of the denoiser: the segment's latent frames and the prefix."""
        return (latent_frames(self.frames) + 1) * self.frame_tokens


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
    height, width = (workload.height, workload.width)
    tile = (min(height, TILE), min(width, TILE)) if tiling else (height, width)
    conditions = _encoding(workload.vae, *tile, workload.context, device, dtype)
    decoded = _decoding(workload.vae, *tile, workload.frames, device, dtype)
    if tile != (height, width):
        decoded = _joining_tiles(workload, decoded, dtype)
    pose_tokens = workload.tokens * network.width * dtype.itemsize
    pose_encoder = _pose_encoding(network.pose_channels, height, width, workload.frames, device, dtype)
    kept = pose_video + _text(workload, dtype) + _rotary(workload)
    phases = {
        "conditions": on_device * (offload == "none") + vae + pose_video + conditions,
        "pose": on_device + vae + kept + max(pose_encoder, 3 * pose_tokens),
        "denoising": on_device + vae + kept + pose_tokens + _denoising(workload, device, dtype, quantisation),
        "decoding": on_device * (offload == "none") + vae + decoded,
    }
    resident = vae + (network.total if offload == "none" else 0)
    return Estimate(phases, resident, network.total if offload == "blocks" else 0)


@dataclass(frozen=True)
class NetworkWeights:
    """Bytes of a network's weights.

    Attributes:
        total: All of them.
        largest_group: The most that is on the device at once when blocks wait in main memory.
        largest_linear: Of the widest linear layer, unquantised.
        width: Channels of its tokens.
        pose_channels: Of its pose encoder.
    """

    total: int
    largest_group: int
    largest_linear: int
    width: int
    pose_channels: int


@functools.lru_cache
def network_weights(config: str, dtype: torch.dtype, quantisation: str) -> NetworkWeights:
    """Count a network's weights without making them."""
    with torch.device("meta"):
        network = OneToAllTransformer3DModel.from_config(json.loads(config))
    quantised = quantisable_linears(network) if quantisation != UNQUANTISED else set()
    sizes: dict[str, int] = {}
    largest_linear = 0
    for name, tensor in network.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module in quantised and kind == "weight":
            precision = QUANTISED[quantisation]
            sizes[name] = int(tensor.numel() * precision.weight_bytes) + precision.row_bytes * tensor.shape[0]
        else:
            sizes[name] = tensor.numel() * (4 if is_kept_wide(name) else dtype.itemsize)
        if tensor.ndim == 2:
            largest_linear = max(largest_linear, tensor.numel() * dtype.itemsize)
    width = network.config["num_attention_heads"] * network.config["attention_head_dim"]
    group = _largest_group(network, sizes)
    return NetworkWeights(sum(sizes.values()), group, largest_linear, width, network.config["pose_channels"])


def _largest_group(network: OneToAllTransformer3DModel, sizes: Mapping[str, int]) -> int:
    """What group offloading holds on the device: denoiser blocks, and what no block is part of."""
    block = sum(size for name, size in sizes.items() if name.startswith("blocks.0."))
    grouped = ("blocks", *network._group_offload_block_modules, "text_keys")
    loose = sum(size for name, size in sizes.items() if name.split(".")[0] not in grouped)
    return BLOCKS_ON_DEVICE * block + loose


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


@functools.lru_cache
def _encoding(vae: str, height: int, width: int, context: bool, device: str, dtype: torch.dtype) -> int:
    """Of the VAE while it encodes the pictures, and the frames carried over."""
    model = _empty_vae(vae, dtype)
    with torch.device("meta"):
        pictures = torch.empty(1, 3, CONTEXT_FRAMES if context else 1, height, width, dtype=dtype)
        taken = traced_peak(lambda: model.encode(pictures))
    return int(taken * (CPU_VAE[dtype] if device == "cpu" else 1))


@functools.lru_cache
def _decoding(vae: str, height: int, width: int, frames: int, device: str, dtype: torch.dtype) -> int:
    """Of the VAE while it decodes. From the third latent frame on every frame takes the same."""
    model = _empty_vae(vae, dtype)
    several, rows, columns = latent_shape(frames, height, width)
    with torch.device("meta"):
        latents = torch.empty(1, model.config.z_dim, min(3, several), rows, columns)
        taken = traced_peak(lambda: [None for _ in decode_frames(model, latents)])
    return int(taken * (CPU_VAE[dtype] if device == "cpu" else 1))


def _joining_tiles(workload: Workload, one_tile: int, dtype: torch.dtype) -> int:
    """With what diffusers keeps: every tile of every frame, overlaps included, and the frames they join to, twice."""
    frames = 3 * workload.video_pixels * dtype.itemsize
    tiles = int(frames * (TILE / TILE_STRIDE) ** 2)
    return max(one_tile + tiles, tiles + 2 * frames)


@functools.lru_cache
def _pose_encoding(channels: int, height: int, width: int, frames: int, device: str, dtype: torch.dtype) -> int:
    """Of the pose encoder's convolutions over pixels, its input included; the tokens it makes are counted apart."""
    with torch.device("meta"), _default_dtype(dtype):
        encoder = PoseEncoder(channels, channels)
        video = torch.empty(1, 3, frames, height, width)
        taken = traced_peak(lambda: encoder(video))
    # on a CPU the input is there anyway
    return int(taken * CPU_POSE[dtype]) if device == "cpu" else taken + video.nbytes


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
    feed_forward = FEED_FORWARD_SEQUENCES * sequence + hidden
    if quantisation == "int8":
        making_values = _int8_product(workload.tokens, weights.width, weights.width, device)
        attention = max(attention, INT8_SEQUENCES * sequence + making_values)
        feed_forward += _int8_product(piece, config["ffn_dim"], weights.width, device)
    elif quantisation == "nf4":
        dequantising = weights.largest_linear * (CPU_NF4 if device == "cpu" else 1)
        attention, feed_forward = attention + dequantising, feed_forward + dequantising
    return features + latents + temporaries + max(attention + poses, feed_forward + in_refiner)


def _int8_product(tokens: int, inputs: int, outputs: int, device: str) -> int:
    """Bytes that LLM.int8 makes for one linear layer, its result included.

    The input in float16 and int8, the product in int32 and float16. A CPU has input, weight and product in float32 too.
    """
    taken = tokens * (3 * inputs + 6 * outputs)
    return taken + 4 * (tokens * inputs + inputs * outputs + tokens * outputs) if device == "cpu" else taken


def _text(workload: Workload, dtype: torch.dtype) -> int:
    """Keys and values of the prompts for every block."""
    config = workload.network_config
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return 2 * workload.text_rows * width * config["num_layers"] * dtype.itemsize


def _rotary(workload: Workload) -> int:
    """Two tables of cosines and sines, float32."""
    return 4 * workload.tokens * workload.network_config["attention_head_dim"] * 4
