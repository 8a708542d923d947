"""The error of quantising a model: the relative error of the network's velocity compared with unquantised weights.

`python -m onetoall_cli.bench.quantisation_error MODEL` prints it for each of them on the CPU; MODEL is as for
`--model`.
"""

import sys

import torch

from onetoall_cli.hub import ModelLocation, locate_model
from onetoall_cli.lattice import SPATIAL_STRIDE, TEMPORAL_STRIDE
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.precisions import REDUCED
from onetoall_cli.sampling import load_pipeline
from onetoall_cli.weights import load_network

LATENT_FRAMES, SIZE = 5, 24  # latent pixels: 192 x 192 pixels, 17 frames
TIMES = (900.0, 500.0, 100.0)  # early, middle and late in sampling


def quantisation_errors(location: ModelLocation) -> dict[str, float]:
    """Relative error of the velocity, ||v' - v|| / ||v||, averaged over early, middle and late steps.

    The inputs are random: normal latents, reference and text rows, uniform poses. Both velocities are in bfloat16, so
    that the error of bfloat16 itself does not count.

    Args:
        location: An unquantised model.

    Returns:
        The error by precision.
    """
    expected = _velocities(load_network(location, torch.bfloat16))
    errors = {}
    for precision in REDUCED:
        pipeline = load_pipeline(location, torch.device("cpu"), torch.bfloat16, quantisation=precision)
        found = _velocities(pipeline.transformer)
        pairs = zip(found, expected, strict=True)
        errors[precision] = sum(float((a - b).norm() / b.norm()) for a, b in pairs) / len(TIMES)
    return errors


@torch.no_grad()
def _velocities(network: OneToAllTransformer3DModel) -> list[torch.Tensor]:
    """Velocities for the same inputs, float32 (1, 16, n, h, w)."""
    source = torch.Generator().manual_seed(0)
    pixels, frames = SPATIAL_STRIDE * SIZE, TEMPORAL_STRIDE * (LATENT_FRAMES - 1) + 1

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=source).bfloat16()

    poses = torch.rand(1, 3, frames + 1, pixels, pixels, generator=source).bfloat16() * 2 - 1
    text = network.encode_text(normal(1, 64, network.config["text_dim"]))
    latents, reference = normal(1, 16, LATENT_FRAMES, SIZE, SIZE), normal(1, 32, 1, SIZE, SIZE)
    rotary = network.rotary_tables(LATENT_FRAMES + 1, SIZE, SIZE)
    pose, prefix = network.encode_pose(poses[:, :, 1:], poses[:, :, :1]), network.encode_prefix(reference)
    return [
        network.denoise(
            latents,
            time,
            text=text,
            reference_features=network.extract_reference(reference, time, rotary),
            prefix=prefix,
            rotary=rotary,
            pose=pose,
        ).float()
        for time in TIMES
    ]


if __name__ == "__main__":
    for precision, error in quantisation_errors(locate_model(sys.argv[1])).items():
        print(f"{precision}: {100 * error:.1f} %")
