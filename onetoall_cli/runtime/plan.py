"""Memory plans: how a model fits a machine's memory, from the fastest plan to the smallest.

Exact plans come first: blocks of the network in main memory. Next come VAE tiles, which change pixels near their
borders, and last quantised weights, which change every pixel a little.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.precisions import CAST, QUANTISED, REDUCED, UNQUANTISED
from onetoall_cli.runtime.device import has_fp8

if TYPE_CHECKING:
    import torch

    from onetoall_cli.runtime.machine import Memory
    from onetoall_cli.runtime.memory import Estimate, Workload

LEVELS = ("auto", "low", "balanced", "high")
QUANTISATIONS = (UNQUANTISED, *REDUCED)
OFFLOADS = ("none", "blocks")

MARGIN = 0.15  # share of the estimate that must be free in addition, for errors of the memory model
GB = 10**9


@dataclass(frozen=True)
class MemoryPlan:
    """How a model is placed and computed.

    Attributes:
        dtype: "bfloat16", "float16" or "float32", of activations and unquantised weights.
        quantisation: One of `QUANTISATIONS`, of the network's blocks.
        offload: "none": all weights stay on the device. "blocks": the network's weights stay in main memory, and each
            block is copied to the device when it runs.
        tiling: Whether the VAE works in tiles of 256 x 256 pixels with blended borders.
        estimate: The estimated memory.
        smaller: The next smaller plan, for when memory runs out nevertheless; None if there is none.
    """

    dtype: str
    quantisation: Literal["none", "fp8", "int8", "nf4"]
    offload: Literal["none", "blocks"]
    tiling: bool
    estimate: "Estimate"
    smaller: "MemoryPlan | None" = None

    def same_place(self, other: "MemoryPlan") -> bool:
        """Whether both plans load and compute a model in the same way."""
        return (self.dtype, self.quantisation, self.offload, self.tiling) == (
            other.dtype,
            other.quantisation,
            other.offload,
            other.tiling,
        )

    def prose(self) -> str:
        """The plan as a clause for messages."""
        parts = [self.dtype if self.quantisation == "none" else f"{self.quantisation} and {self.dtype}"]
        parts += ["blocks wait in main memory"] if self.offload == "blocks" else []
        parts += ["VAE in tiles"] if self.tiling else []
        return f"{', '.join(parts)}, about {self.estimate.peak / GB:.1f} GB"

    def fields(self) -> dict[str, Any]:
        """The plan for `--json`: sizes in bytes."""
        return {
            "dtype": self.dtype,
            "quantize": self.quantisation,
            "offload": self.offload,
            "tiling": self.tiling,
            "weights": self.estimate.weights,
            "phases": dict(self.estimate.phases),
            "peak": self.estimate.peak,
            "main_memory": self.estimate.host,
        }


@dataclass(frozen=True)
class Wishes:
    """The user's choices; None leaves a choice to the plan."""

    quantisation: str | None = None
    offload: str | None = None
    tiling: bool | None = None


def possible_plans(
    workload: "Workload",
    device: "torch.device",
    dtypes: "Sequence[torch.dtype]",
    wishes: Wishes = Wishes(),
    *,
    stored_as: str = "none",
) -> list[MemoryPlan]:
    """All plans that the device and the user's choices allow, in the order of preference.

    Args:
        workload: The model and the size.
        device: Device of the run.
        dtypes: Dtypes to consider, the preferred first.
        wishes: The user's choices.
        stored_as: "int8" or "nf4" if the model's files are quantised.

    Raises:
        BadInput: The choices contradict each other, the device or the model.
    """
    from onetoall_cli.runtime.memory import estimate

    _check(wishes, device.type, stored_as)
    plans = []
    for quantisation, dtype in itertools.product(_quantisations(wishes, device, stored_as), dtypes):
        for tiling, offload in itertools.product((False, True), _offloads(wishes, device.type, quantisation)):
            if wishes.tiling in (None, tiling):
                parts = {"quantisation": quantisation, "offload": offload, "tiling": tiling}
                taken = estimate(workload, device=device.type, dtype=dtype, **parts)  # type: ignore[arg-type]
                plans.append(MemoryPlan(str(dtype).removeprefix("torch."), estimate=taken, **parts))  # type: ignore[arg-type]
    return plans


def _check(wishes: Wishes, device: str, stored_as: str) -> None:
    quantisation = wishes.quantisation or stored_as
    if stored_as != "none" and wishes.quantisation not in (None, stored_as):
        raise BadInput(
            f"This model is stored as {stored_as}, so it cannot be loaded as {wishes.quantisation}.",
            "Name the original with --model, or leave --quantize out.",
        )
    if quantisation != "none" and device == "mps":
        raise BadInput("Quantised weights need a CPU or an NVIDIA GPU.", "Use --quantize none, or --device cpu.")
    if wishes.offload == "blocks" and device != "cuda":
        raise BadInput(
            f"On the device {device!r} all weights are in main memory anyway.", "Use --offload none, or a GPU."
        )
    if wishes.offload == "blocks" and quantisation != "none":
        raise BadInput("Quantised weights cannot be moved block by block.", "Give --quantize or --offload, not both.")


def _quantisations(wishes: Wishes, device: "torch.device", stored_as: str) -> Sequence[str]:
    if stored_as != "none":
        return [stored_as]
    if wishes.quantisation is not None:
        return [wishes.quantisation]
    # bitsandbytes has no kernels for Apple GPUs, and its weights cannot be offloaded.
    if device.type == "mps" or wishes.offload == "blocks":
        return [UNQUANTISED]
    return [UNQUANTISED, *(CAST if has_fp8(device) else ()), *QUANTISED]


def _offloads(wishes: Wishes, device: str, quantisation: str) -> Sequence[str]:
    if wishes.offload is not None:
        return [wishes.offload]
    return OFFLOADS if device == "cuda" and quantisation == "none" else ["none"]


def choose_plan(plans: Sequence[MemoryPlan], level: str, memory: "Memory", main_memory: "Memory") -> MemoryPlan:
    """The plan to use, linked to the smaller ones.

    Args:
        plans: From `possible_plans`.
        level: "auto": the first that fits. "high": the first. "balanced": the smallest that does not quantise more than
            the user chose. "low": the smallest.
        memory: Memory of the device.
        main_memory: Memory of the computer.

    Raises:
        OutOfResources: The level is "auto" and no plan fits.
    """
    held = [plan for plan in plans if plan.estimate.host * (1 + MARGIN) <= main_memory.free]
    chain = list(held[:1])
    for plan in held[1:]:
        if plan.estimate.peak < chain[-1].estimate.peak:
            chain.append(plan)
    if level == "auto":
        return _first_that_fits(plans, chain, memory)
    unquantised = [plan for plan in chain if plan.quantisation == chain[0].quantisation]
    start = {"high": chain[0], "balanced": unquantised[-1], "low": chain[-1]}[level]
    return _linked(chain[chain.index(start) :])


def fits(plan: MemoryPlan, memory: "Memory") -> bool:
    """Whether `plan` fits the free memory with `MARGIN`."""
    return plan.estimate.peak * (1 + MARGIN) <= memory.free


def _first_that_fits(plans: Sequence[MemoryPlan], chain: list[MemoryPlan], memory: "Memory") -> MemoryPlan:
    for index, plan in enumerate(chain):
        if fits(plan, memory):
            return _linked(chain[index:])
    least = chain[-1] if chain else min(plans, key=lambda plan: plan.estimate.peak)
    raise OutOfResources(
        f"The smallest plan ({least.prose()}) does not fit the {memory.free / GB:.1f} GB that are free"
        f" ({memory.device}).",
        "Try a smaller --short-side, --segment-frames or --model, close other programs, or try the smallest plan "
        "nevertheless with --memory low.",
    )


def _linked(chain: list[MemoryPlan]) -> MemoryPlan:
    """The first plan of a chain, in which each plan's `smaller` is the next."""
    linked: MemoryPlan | None = None
    for plan in reversed(chain):
        linked = replace(plan, smaller=linked)
    assert linked is not None
    return linked
