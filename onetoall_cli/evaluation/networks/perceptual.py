"""LPIPS, the learned perceptual distance (Zhang et al. 2018, version 0.1), through VGG-16 or AlexNet.

The trunks carry torchvision's names of weights; the linear layers come with torchmetrics.
"""

import torch
from torch import Tensor, nn

from onetoall_cli.evaluation.pairs.extra import package_folder

# Outputs of the 3x3 convolutions.
_VGG = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
_VGG_TAPS = (3, 8, 15, 22, 29)  # the ReLUs whose features are compared, by their place in the trunk
_ALEX_TAPS = (1, 4, 7, 9, 11)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for [-1, 1]
_TINY = 1e-10  # as in the authors' code


def vgg_trunk() -> nn.Sequential:
    """The convolutions of VGG-16."""
    layers: list[nn.Module] = []
    inputs = 3
    for step in _VGG:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, step, 3, padding=1), nn.ReLU()]
            inputs = step
    return nn.Sequential(*layers)


def alex_trunk() -> nn.Sequential:
    """The convolutions of AlexNet."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )


class LPIPS(nn.Module):
    """The distance of pictures (B, 3, H, W) in [-1, 1], (B,).

    Args:
        trunk: `vgg_trunk()` or `alex_trunk()`.
        taps: Places in the trunk whose outputs are compared.
        weights: For each of them the weights of its channels, (1, C, 1, 1).
    """

    def __init__(self, trunk: nn.Sequential, taps: tuple[int, ...], weights: list[Tensor]) -> None:
        super().__init__()
        self.features = trunk
        self._taps = taps
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None])

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        x = (torch.cat([made, true]) - self.get_buffer("shift")) / self.get_buffer("scale")
        total = torch.zeros(len(made), device=made.device)
        number = 0
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self._taps:
                unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + _TINY)
                apart = (unit[: len(made)] - unit[len(made) :]).square()
                total = total + (apart * self.get_buffer(f"weight{number}")).sum(dim=1).mean(dim=(1, 2))
                number += 1
        return total


def linear_layers(name: str) -> list[Tensor]:
    """LPIPS's own weights for `vgg` or `alex`, which torchmetrics ships, in the order of the taps.

    Raises:
        BadInput: The package torchmetrics is not installed.
    """
    folder = package_folder("torchmetrics") / "functional" / "image" / "lpips_models"
    stored = torch.load(folder / f"{name}.pth", map_location="cpu", weights_only=True)
    return [stored[f"lin{number}.model.1.weight"] for number in range(len(stored))]


def vgg_lpips() -> LPIPS:
    """LPIPS through VGG-16."""
    return LPIPS(vgg_trunk(), _VGG_TAPS, linear_layers("vgg"))


def alex_lpips() -> LPIPS:
    """LPIPS through AlexNet."""
    return LPIPS(alex_trunk(), _ALEX_TAPS, linear_layers("alex"))
