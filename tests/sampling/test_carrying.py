"""The tone of what is carried: drift goes, and what happens in the picture stays."""

import torch

from onetoall_cli.sampling.carrying import Carried


def scene(seed: int = 0) -> torch.Tensor:
    """Two carried latents of a picture that stands still."""
    return torch.randn(1, 16, 1, 12, 12, generator=torch.Generator().manual_seed(seed)).repeat(1, 1, 2, 1, 1)


def segment(end: torch.Tensor) -> torch.Tensor:
    """Eight latents from the scene to `end`."""
    steps = torch.linspace(0, 1, 7)[1:].view(1, 1, 6, 1, 1)
    return torch.cat([scene(), scene()[:, :, :1] * (1 - steps) + end * steps], dim=2)


def off(latents: torch.Tensor) -> torch.Tensor:
    """How far each latent frame is from the scene."""
    return (latents - scene()[:, :, :1]).abs().mean(dim=(0, 1, 3, 4))


def test_a_picture_that_gets_garish_and_tinted_ends_nearer_to_how_it_began_and_does_not_jump() -> None:
    drifting = segment(1.1 * scene()[:, :, :1] + 0.1)
    eased = Carried(latents=scene()).eased(drifting, 2)
    assert torch.equal(eased[:, :, :2], scene())
    assert off(eased)[-1] < 0.25 * off(drifting)[-1]
    assert off(eased)[2] <= off(drifting)[2]


def test_somebody_who_comes_in_changes_no_tone() -> None:
    arrived = scene()[:, :, :1].clone()
    arrived[..., 3:9] = 3.0
    moving = segment(arrived)
    eased = Carried(latents=scene()).eased(moving, 2)
    assert (eased[:, :, -1] - moving[:, :, -1]).abs().max() < 0.05


def test_a_picture_of_which_nothing_is_left_stays_as_it_is() -> None:
    moving = segment(scene(1)[:, :, :1])
    assert torch.equal(Carried(latents=moving[:, :, -2:], first=scene()).eased(moving, 2), moving)
