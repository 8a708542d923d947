"""3D ResNet-50, the network of FID-VID, trained on Kinetics (Hara, Kataoka and Satoh 2018; shortcuts of type B).

The names of the weights are the published ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 2048
SIZE, FRAMES = 112, 16  # pixels of a frame, and frames of a segment
MEAN = torch.tensor((114.7748, 107.7354, 99.4750))  # of the training pictures, RGB 0..255; subtracted, nothing divided

_LAYERS = {"layer1": (64, 3, 1), "layer2": (128, 4, 2), "layer3": (256, 6, 2), "layer4": (512, 3, 2)}


class ResNet3D(nn.Module):
    """Segments (B, 3, 16, 112, 112), RGB 0..255 minus `MEAN`, to features (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inputs = 64
        for name, (width, count, stride) in _LAYERS.items():
            first = _Bottleneck(inputs, width, stride)
            inputs = first.outputs
            self.add_module(name, nn.Sequential(first, *(_Bottleneck(inputs, width, 1) for _ in range(count - 1))))
        self.fc = nn.Linear(FEATURES, 400)  # not used: it makes the weights complete

    def forward(self, segments: Tensor) -> Tensor:
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(segments))), 3, 2, padding=1)
        for name in _LAYERS:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3, 4))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv3d(inputs, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, self.outputs, 1, bias=False), nn.BatchNorm3d(self.outputs)
        if inputs != self.outputs:
            shortcut = nn.Conv3d(inputs, self.outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(self.outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (self.downsample(x) if hasattr(self, "downsample") else x))
