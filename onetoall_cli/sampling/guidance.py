"""Cumulative classifier-free guidance over the two conditions, reference and pose (paper section "Loss & Training").

With v(R, P) the velocity given reference and pose, v(0, P) without the reference and v(0, 0) with neither and the
negative prompt, the guided velocity is

    v = v(0, 0) + g_pose (v(0, P) - v(0, 0)) + g_ref (v(R, P) - v(0, P)),

a weighted sum of up to three network passes. `Guidance` decides which of them run at a step: all of them (the method),
or fewer, which is faster but not exact.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch


class Pass(NamedTuple):
    """One run of the network: with the reference or a black one, with the pose or none, and which prompt."""

    reference: bool
    pose: bool
    negative: bool

    @property
    def title(self) -> str:
        """The name of the pass's step cache."""
        return f"{'reference' if self.reference else 'black'} {'pose' if self.pose else 'nothing'}"


FULL = Pass(reference=True, pose=True, negative=False)
POSE_ONLY = Pass(reference=False, pose=True, negative=False)
UNCONDITIONAL = Pass(reference=False, pose=False, negative=True)


def guidance_weights(image_guidance_scale: float, pose_guidance_scale: float) -> dict[Pass, float]:
    """The passes to run and the weight of each pass's velocity; the weights sum to 1.

    Args:
        image_guidance_scale: The scale g_ref. If both scales are at most 1, there is no guidance and one pass.
        pose_guidance_scale: The scale g_pose. If it is at most 1, g_ref guides both conditions together in two passes.

    Passes of weight 0 are left out: equal scales, as in the paper (1.5 / 1.5), need two passes and not three.
    """
    if pose_guidance_scale <= 1 and image_guidance_scale <= 1:
        return {FULL: 1.0}
    if pose_guidance_scale <= 1:
        return {UNCONDITIONAL: 1 - image_guidance_scale, FULL: image_guidance_scale}
    weights = {
        UNCONDITIONAL: 1 - pose_guidance_scale,
        POSE_ONLY: pose_guidance_scale - image_guidance_scale,
        FULL: image_guidance_scale,
    }
    return {each: weight for each, weight in weights.items() if weight != 0}


@dataclass(frozen=True)
class Schedule:
    """A guidance scale that differs from step to step.

    Attributes:
        parts: Scale, and the fractions of the steps (0: pure noise, 1: the end) between which it holds; ascending.
            Elsewhere the scale is 1, which is no guidance.
    """

    parts: tuple[tuple[float, float, float], ...]

    def at(self, step: int, steps: int) -> float:
        """The scale at a step, counted from 0."""
        for scale, start, stop in self.parts:
            if nearest_step(start, steps) <= step < nearest_step(stop, steps):
                return scale
        return 1.0


Scale: TypeAlias = float | Schedule
"""A guidance scale: the same at every step, or a schedule."""


def nearest_step(fraction: float, steps: int) -> int:
    """The step at a fraction of the steps."""
    return math.floor(fraction * steps + 0.5)


@dataclass
class Guidance:
    """The passes of each step of one segment, and how their velocities become one.

    Between two steps that run every pass, the direction guidance adds to v(R, P) changes little; such steps can run
    v(R, P) alone and add the last direction.

    Attributes:
        weights: For each step those of `guidance_weights`.
        every: Guidance is computed at every step of this number and reused in between, as long as the weights stay; 1
            is exact.
    """

    weights: Sequence[Mapping[Pass, float]]
    every: int = 1
    _direction: torch.Tensor | None = field(default=None, init=False, repr=False)

    @classmethod
    def of_scales(
        cls, image: Scale, pose: Scale, steps: int, interval: tuple[float, float] = (0.0, 1.0), every: int = 1
    ) -> "Guidance":
        """Guidance by scales.

        Args:
            image, pose: The scales g_ref and g_pose.
            steps: Number of steps of the segment.
            interval: Fractions of the steps between which there is guidance at all (Kynkäänniemi et al. 2024,
                "Applying Guidance in a Limited Interval").
            every: As in `Guidance`.
        """

        def scale(given: Scale, step: int) -> float:
            return given.at(step, steps) if isinstance(given, Schedule) else given

        first, last = (nearest_step(fraction, steps) for fraction in interval)
        return cls(
            [
                guidance_weights(scale(image, step), scale(pose, step)) if first <= step < last else {FULL: 1.0}
                for step in range(steps)
            ],
            every,
        )

    @property
    def steps(self) -> int:
        """Number of steps of the segment."""
        return len(self.weights)

    def passes(self, step: int) -> tuple[Pass, ...]:
        """The passes that run at a step, counted from 0."""
        if self._reuses(step):
            return (FULL,)
        weights = self.weights[step]
        # The direction is measured from v(R, P), so reuse needs that pass even where its own weight is 0.
        return tuple(weights) if FULL in weights or self.every == 1 else (*weights, FULL)

    def all_passes(self) -> set[Pass]:
        """All passes that run at any step."""
        return {each for step in range(self.steps) for each in self.passes(step)}

    @property
    def most_passes(self) -> int:
        """Passes of the step that has most."""
        return max(len(self.passes(step)) for step in range(self.steps))

    def network_runs(self) -> int:
        """Number of passes of all steps together."""
        return sum(len(self.passes(step)) for step in range(self.steps))

    def combine(self, step: int, velocities: Mapping[Pass, torch.Tensor]) -> torch.Tensor:
        """The guided velocity in float32, from those of `passes(step)`; call it for each step in order."""
        if self._reuses(step):
            assert self._direction is not None  # the first step with these weights made it
            return velocities[FULL].float() + self._direction
        guided = torch.zeros_like(next(iter(velocities.values())), dtype=torch.float32)
        for each, weight in self.weights[step].items():
            guided += weight * velocities[each]
        if self.every > 1:
            self._direction = guided - velocities[FULL].float()
        return guided

    def _reuses(self, step: int) -> bool:
        """Whether the direction of an earlier step with the same weights is taken."""
        first = step
        while first > 0 and self.weights[first - 1] == self.weights[step]:
            first -= 1
        return (step - first) % self.every != 0
