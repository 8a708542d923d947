"""I3D, the network of FVD: an Inception-v1 with 3D kernels, trained on Kinetics-400 (Carreira and Zisserman 2017).

The names of the weights are those of the published PyTorch port.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 400
SIZE = 224  # pixels, height and width of a frame

# Channels of a block: in, then 1x1 | 1x1, 3x3 | 1x1, 3x3 | 1x1 behind the pooling. Ints are strides of a max pooling.
_BLOCKS: dict[str, tuple[int, ...] | int] = {
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": 3,
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": 2,
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}


class I3D(nn.Module):
    """Clips (B, 3, T, 224, 224) in [-1, 1], T at least 8, to logits (B, 400), the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1 = _Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = _Unit(64, 192, 3)
        for name, channels in _BLOCKS.items():
            if isinstance(channels, tuple):
                self.add_module(name, _Block(*channels))
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(1024, CLASSES, 1)})

    def forward(self, clips: Tensor) -> Tensor:
        x = _max_pool(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2))
        x = _max_pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name, channels in _BLOCKS.items():
            x = _max_pool(x, (channels,) * 3, (2, 2, 2)) if isinstance(channels, int) else self._modules[name](x)  # type: ignore[misc]
        x = F.avg_pool3d(x, (1, 7, 7), 1)
        return self.logits["conv3d"](x).mean(dim=(2, 3, 4))


class _Unit(nn.Module):
    """Convolution with TensorFlow's padding, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, size, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(_padded(x, self.conv3d.kernel_size, self.conv3d.stride))))


class _Block(nn.Module):
    def __init__(self, inputs: int, b0: int, b1a: int, b1b: int, b2a: int, b2b: int, b3b: int) -> None:
        super().__init__()
        self.b0 = _Unit(inputs, b0, 1)
        self.b1a, self.b1b = _Unit(inputs, b1a, 1), _Unit(b1a, b1b, 3)
        self.b2a, self.b2b = _Unit(inputs, b2a, 1), _Unit(b2a, b2b, 3)
        self.b3b = _Unit(inputs, b3b, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = _max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


def _max_pool(x: Tensor, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """The padding is of zeros and takes part, as in the published port; behind a ReLU nothing is below them."""
    return F.max_pool3d(_padded(x, size, stride), size, stride)


def _padded(x: Tensor, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """`x` (B, C, T, H, W) with zeros around, as TensorFlow's SAME has them: the larger half behind."""
    sides: list[int] = []
    for length, kernel, step in zip(reversed(x.shape[2:]), reversed(size), reversed(stride), strict=True):
        missing = max(kernel - (length % step or step), 0)
        sides += [missing // 2, missing - missing // 2]
    return F.pad(x, sides)
