"""The pose branch: the pose encoder (causal 3D convolutions over pixels) and the reference-guided refinement.

The encoder works at full pixel resolution, where its activations are larger than any others, and its group norms span
all frames. So a stage reads its video three times in chunks of a few frames: for the statistics of the first norm, for
those of the second, and for its output. Only the output, a quarter of the size, is kept.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from onetoall_cli.model.blocks import Modulation, PlainBlock, run_block
from onetoall_cli.model.group_norm import Moments, WideGroupNorm
from onetoall_cli.model.reference import NORM_EPS, NORM_GROUPS, zero_linear
from onetoall_cli.model.rotary import Rotation

TEMPORAL_STRIDES = (1, 2, 2, 1)  # of the four stages, which all halve height and width

# The most pixels in a chunk: 5 frames at 832 x 480 (64 MB for 16 channels in bfloat16).
CHUNK_PIXELS = 2_000_000


class Sweep:
    """A video in chunks along time, (B, C, frames, H, W) each, which are computed again at each iteration."""

    def __init__(self, chunks: Callable[[], Iterator[torch.Tensor]]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self._chunks()


# A list of one chunk is a whole video, computed at once, for autograd and for short videos.
Chunks = list[torch.Tensor] | Sweep


class CausalConv3d(nn.Conv3d):
    """A convolution over padded frames; a single frame stands for itself and two replicas before it."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, C, frames, H + 2, W + 2), of one frame or at least three, to (B, C', frames', H', W')."""
        if frames.shape[2] > 1:
            return super().forward(frames)
        # All three time slices see the same picture, so one 2D convolution with their sum does a third of the work.
        still = F.conv2d(frames.squeeze(2), self.weight.sum(dim=2), self.bias, self.stride[1:])
        return still.unsqueeze(2)


class PoseStage(nn.Module):
    """A residual layer, then a convolution that halves height and width, and time where `temporal_stride` is 2."""

    def __init__(self, channels: int, temporal_stride: int) -> None:
        super().__init__()
        self.norm1 = WideGroupNorm(NORM_GROUPS, channels, NORM_EPS)
        self.conv1 = CausalConv3d(channels, channels, 3)
        self.norm2 = WideGroupNorm(NORM_GROUPS, channels, NORM_EPS)
        self.conv2 = CausalConv3d(channels, channels, 3)
        self.downsample = CausalConv3d(channels, channels, 3, stride=(temporal_stride, 2, 2))

    def forward(self, chunks: Chunks) -> list[torch.Tensor]:
        """A video in chunks to its downsampled features in chunks."""
        first = second = None
        if not _is_whole(chunks):
            first = self.norm1.moments(chunks)
            second = self.norm2.moments(self._inner(chunks, first))
        waiting: deque[torch.Tensor] = deque()  # chunks whose update is not computed yet
        inner = self._inner(_appending_to(waiting, chunks), first)
        updates = causal(self.conv2, activated(self.norm2, second, inner))
        return list(causal(self.downsample, (waiting.popleft() + update for update in updates)))

    def _inner(self, chunks: Iterable[torch.Tensor], first: Moments | None) -> Iterator[torch.Tensor]:
        return causal(self.conv1, activated(self.norm1, first, chunks))


class PoseEncoder(nn.Module):
    """Encodes a drawn pose video to a feature vector for each token of the denoiser.

    The convolutions are causal: they reach one pixel around and two frames back, with replicated edges.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv_in = CausalConv3d(3, channels, 3)
        self.stages = nn.ModuleList([PoseStage(channels, stride) for stride in TEMPORAL_STRIDES])
        self.conv_out = CausalConv3d(channels, width, 3)
        self.gradient_checkpointing = False

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) in [-1, 1], T = 4 (n - 1) + 1, to (B, width, n, H/16, W/16).

        With gradients the video is encoded at once, because autograd keeps every activation anyway.
        """
        frames = max(1, CHUNK_PIXELS // (video.shape[0] * video.shape[3] * video.shape[4]))
        if self._wants_gradients(video) or frames >= video.shape[2]:
            chunks: Chunks = list(causal(self.conv_in, [video]))
        else:
            chunks = Sweep(lambda: causal(self.conv_in, video.split(frames, dim=2)))
        for stage in self.stages:
            chunks = run_block(self, stage, chunks)
        return torch.cat(list(causal(self.conv_out, chunks)), dim=2)

    def _wants_gradients(self, video: torch.Tensor) -> bool:
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (video, *self.parameters()))


class PoseRefiner(nn.Module):
    """Pose refinement: the pose tokens of reference and motion attend to each other and to the denoiser's tokens."""

    def __init__(self, heads: int, head_dim: int, ffn_dim: int, num_layers: int, eps: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([PlainBlock(heads, head_dim, ffn_dim, eps) for _ in range(num_layers)])
        self.projections = nn.ModuleList([zero_linear(heads * head_dim) for _ in range(num_layers)])
        self.gradient_checkpointing = False

    def forward(
        self, hidden_states: torch.Tensor, modulation: Modulation, rotation: Rotation, scale: float
    ) -> tuple[torch.Tensor, ...]:
        """Denoiser plus pose tokens (B, L, width) to residuals (B, L, width) for the denoiser blocks from 1 on."""
        residuals = []
        for block, project in zip(self.blocks, self.projections, strict=True):
            hidden_states = run_block(self, block, hidden_states, modulation, rotation)
            residuals.append(project(hidden_states) * scale)
        return tuple(residuals)


def causal(conv: CausalConv3d, chunks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Convolve a video chunk by chunk, keeping the frames that later outputs need.

    Chunks may have any number of frames. If a chunk completes no output frame, nothing is yielded for it.
    """
    stride = conv.stride[0]
    carried: torch.Tensor | None = None
    for chunk in chunks:
        if carried is None and chunk.shape[2] == 1:
            padded = F.pad(chunk.squeeze(2), (1, 1, 1, 1), mode="replicate")
            carried = padded.unsqueeze(2).expand(-1, -1, 3 - stride, -1, -1)
            yield conv(padded.unsqueeze(2))
            continue
        if carried is None:
            frames = F.pad(chunk, (1, 1, 1, 1, 2, 0), mode="replicate")
        else:
            frames = torch.cat([carried, F.pad(chunk, (1, 1, 1, 1, 0, 0), mode="replicate")], dim=2)
        outputs = (frames.shape[2] - 3) // stride + 1
        carried = frames[:, :, outputs * stride :].clone()  # not a view, which would keep the whole chunk alive
        if outputs > 0:
            output = conv(frames)
            del frames, chunk  # not needed while the generator is suspended
            yield output


def activated(
    norm: WideGroupNorm, statistics: Moments | None, chunks: Iterable[torch.Tensor]
) -> Iterator[torch.Tensor]:
    """Normalise chunks by the whole video's statistics, then apply SiLU. None: the only chunk is the whole video."""
    return map(lambda chunk: F.silu(norm(chunk, statistics)), chunks)


def _appending_to(kept: deque[torch.Tensor], chunks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The chunks, each also appended to `kept`. (`itertools.tee` would keep dozens in memory.)"""
    for chunk in chunks:
        kept.append(chunk)
        yield chunk


def _is_whole(chunks: Chunks) -> bool:
    return isinstance(chunks, list) and len(chunks) == 1
