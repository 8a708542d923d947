"""Inception-v3 up to its 2048 pooled features: torchvision's, and the one that FID was defined with.

The two have the same layers and names, and differ in their weights and in how they pool.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 2048
SIZE = 299  # pixels


class _Kernel(NamedTuple):
    inputs: int
    outputs: int
    size: int | tuple[int, int] = 1
    stride: int = 1
    padding: int | tuple[int, int] = 0


def _row(inputs: int, outputs: int, length: int = 7) -> _Kernel:
    return _Kernel(inputs, outputs, (1, length), padding=(0, length // 2))


def _column(inputs: int, outputs: int, length: int = 7) -> _Kernel:
    return _Kernel(inputs, outputs, (length, 1), padding=(length // 2, 0))


# A path is the units that follow each other, split at the end where the last is a tuple; POOL is the block's pooling.
_POOL = "pool"
_Paths = tuple[tuple[str | tuple[str, str], ...], ...]


class Inception(nn.Module):
    """torchvision's: pictures (B, 3, 299, 299) in [-1, 1] to features (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(_Kernel(3, 32, 3, 2))
        self.Conv2d_2a_3x3 = _Unit(_Kernel(32, 32, 3))
        self.Conv2d_2b_3x3 = _Unit(_Kernel(32, 64, 3, padding=1))
        self.Conv2d_3b_1x1 = _Unit(_Kernel(64, 80))
        self.Conv2d_4a_3x3 = _Unit(_Kernel(80, 192, 3))
        average, largest = self.average_pooling(), nn.MaxPool2d(3, 2)
        self.Mixed_5b = _first(192, 32, average)
        self.Mixed_5c = _first(256, 64, average)
        self.Mixed_5d = _first(288, 64, average)
        self.Mixed_6a = _first_reduction(288, largest)
        self.Mixed_6b = _second(128, average)
        self.Mixed_6c = _second(160, average)
        self.Mixed_6d = _second(160, average)
        self.Mixed_6e = _second(192, average)
        self.Mixed_7a = _second_reduction(768, largest)
        self.Mixed_7b = _third(1280, average)
        self.Mixed_7c = _third(2048, self.last_pooling())

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pictures)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        return x.mean(dim=(2, 3))

    def average_pooling(self) -> nn.Module:
        """The pooling inside most blocks."""
        return nn.AvgPool2d(3, 1, padding=1)

    def last_pooling(self) -> nn.Module:
        """The pooling inside the last block."""
        return self.average_pooling()


class FIDInception(Inception):
    """The network of the FID (TensorFlow's of 2015): averages leave the padding out, the last block takes maxima."""

    def average_pooling(self) -> nn.Module:
        return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)

    def last_pooling(self) -> nn.Module:
        return nn.MaxPool2d(3, 1, padding=1)


class _Unit(nn.Module):
    def __init__(self, kernel: _Kernel) -> None:
        super().__init__()
        inputs, outputs, size, stride, padding = kernel
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Paths side by side, their outputs joined."""

    def __init__(self, units: dict[str, _Kernel], paths: _Paths, pooling: nn.Module) -> None:
        super().__init__()
        for name, kernel in units.items():
            self.add_module(name, _Unit(kernel))
        self._paths = paths
        self._steps: dict[str, nn.Module] = {_POOL: pooling}

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._along(path, x) for path in self._paths], dim=1)

    def _along(self, path: tuple[str | tuple[str, str], ...], x: Tensor) -> Tensor:
        for step in path:
            if isinstance(step, tuple):
                return torch.cat([self.get_submodule(name)(x) for name in step], dim=1)
            x = self._steps[step](x) if step in self._steps else self.get_submodule(step)(x)
        return x


def _first(inputs: int, pooled: int, pooling: nn.Module) -> _Mixed:
    units = {
        "branch1x1": _Kernel(inputs, 64),
        "branch5x5_1": _Kernel(inputs, 48),
        "branch5x5_2": _Kernel(48, 64, 5, padding=2),
        "branch3x3dbl_1": _Kernel(inputs, 64),
        "branch3x3dbl_2": _Kernel(64, 96, 3, padding=1),
        "branch3x3dbl_3": _Kernel(96, 96, 3, padding=1),
        "branch_pool": _Kernel(inputs, pooled),
    }
    double = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
    return _Mixed(units, (("branch1x1",), ("branch5x5_1", "branch5x5_2"), double, (_POOL, "branch_pool")), pooling)


def _first_reduction(inputs: int, pooling: nn.Module) -> _Mixed:
    units = {
        "branch3x3": _Kernel(inputs, 384, 3, 2),
        "branch3x3dbl_1": _Kernel(inputs, 64),
        "branch3x3dbl_2": _Kernel(64, 96, 3, padding=1),
        "branch3x3dbl_3": _Kernel(96, 96, 3, 2),
    }
    return _Mixed(units, (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), (_POOL,)), pooling)


def _second(width: int, pooling: nn.Module) -> _Mixed:
    units = {
        "branch1x1": _Kernel(768, 192),
        "branch7x7_1": _Kernel(768, width),
        "branch7x7_2": _row(width, width),
        "branch7x7_3": _column(width, 192),
        "branch7x7dbl_1": _Kernel(768, width),
        "branch7x7dbl_2": _column(width, width),
        "branch7x7dbl_3": _row(width, width),
        "branch7x7dbl_4": _column(width, width),
        "branch7x7dbl_5": _row(width, 192),
        "branch_pool": _Kernel(768, 192),
    }
    single = tuple(f"branch7x7_{number}" for number in (1, 2, 3))
    double = tuple(f"branch7x7dbl_{number}" for number in (1, 2, 3, 4, 5))
    return _Mixed(units, (("branch1x1",), single, double, (_POOL, "branch_pool")), pooling)


def _second_reduction(inputs: int, pooling: nn.Module) -> _Mixed:
    units = {
        "branch3x3_1": _Kernel(inputs, 192),
        "branch3x3_2": _Kernel(192, 320, 3, 2),
        "branch7x7x3_1": _Kernel(inputs, 192),
        "branch7x7x3_2": _row(192, 192),
        "branch7x7x3_3": _column(192, 192),
        "branch7x7x3_4": _Kernel(192, 192, 3, 2),
    }
    seven = tuple(f"branch7x7x3_{number}" for number in (1, 2, 3, 4))
    return _Mixed(units, (("branch3x3_1", "branch3x3_2"), seven, (_POOL,)), pooling)


def _third(inputs: int, pooling: nn.Module) -> _Mixed:
    units = {
        "branch1x1": _Kernel(inputs, 320),
        "branch3x3_1": _Kernel(inputs, 384),
        "branch3x3_2a": _row(384, 384, 3),
        "branch3x3_2b": _column(384, 384, 3),
        "branch3x3dbl_1": _Kernel(inputs, 448),
        "branch3x3dbl_2": _Kernel(448, 384, 3, padding=1),
        "branch3x3dbl_3a": _row(384, 384, 3),
        "branch3x3dbl_3b": _column(384, 384, 3),
        "branch_pool": _Kernel(inputs, 192),
    }
    single = ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b"))
    double = ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b"))
    return _Mixed(units, (("branch1x1",), single, double, (_POOL, "branch_pool")), pooling)
