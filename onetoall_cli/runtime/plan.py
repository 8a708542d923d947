"""Plans: how a model is made to fit a machine's memory, from the fastest to the smallest.

What changes nothing comes first: weights that wait in main memory, block by block. Then VAE tiles, which change
pixels near their borders, then quantised weights, which change every pixel a little.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.precisions import QUANTISED, UNQUANTISED

if TYPE_CHECKING:
    import torch

    from onetoall_cli.runtime.machine import Memory
    from onetoall_cli.runtime.memory import Estimate, Workload

LEVELS = ("auto", "low", "balanced", "high")
QUANTISATIONS = (UNQUANTISED, *QUANTISED)
OFFLOADS = ("none", "blocks")

MARGIN = 0.15  # how far the memory model may be off; a plan must fit with it
GB = 10**9


@dataclass(frozen=True)
class MemoryPlan:
    """How a model is placed and computed.

    Attributes:
        dtype: "bfloat16", "float16" or "float32": of activations and of weights that are not quantised.
        quantisation: Of the network's blocks: "none", "int8" or "nf4".
        offload: "none": all weights stay on the device. "blocks": the network's wait in main memory, and each block
            comes to the device when it is its turn.
        tiling: The VAE works in tiles of 256 x 256 pixels with blended borders.
        estimate: What it takes.
        smaller: The next plan that takes less, for when memory runs out all the same; None: there is none.
    """

    dtype: str
    quantisation: Literal["none", "int8", "nf4"]
    offload: Literal["none", "blocks"]
    tiling: bool
    estimate: "Estimate"
    smaller: "MemoryPlan | None" = None

    def same_place(self, other: "MemoryPlan") -> bool:
        """Whether a model that follows this plan follows the other too."""
        return (self.dtype, self.quantisation, self.offload, self.tiling) == (
            other.dtype,
            other.quantisation,
            other.offload,
            other.tiling,
        )

    def prose(self) -> str:
        """The plan as a clause for people."""
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
    """What the user has settled; None leaves it to the plan."""

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
    """All plans that this kind of device allows and the wishes leave, in the order of preference.

    Args:
        workload: What is generated.
        device: Where.
        dtypes: Number formats to consider, the preferred first.
        wishes: Of the user.
        stored_as: "int8" or "nf4" where the model's files are quantised already.

    Raises:
        BadInput: The wishes contradict each other, the device or the model.
    """
    from onetoall_cli.runtime.memory import estimate

    _check(wishes, device.type, stored_as)
    plans = []
    for quantisation, dtype in itertools.product(_quantisations(wishes, device.type, stored_as), dtypes):
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


def _quantisations(wishes: Wishes, device: str, stored_as: str) -> Sequence[str]:
    if stored_as != "none":
        return [stored_as]
    if wishes.quantisation is not None:
        return [wishes.quantisation]
    # bitsandbytes has no kernels for Apple GPUs, and its weights cannot be offloaded
    return ["none"] if device == "mps" or wishes.offload == "blocks" else QUANTISATIONS


def _offloads(wishes: Wishes, device: str, quantisation: str) -> Sequence[str]:
    if wishes.offload is not None:
        return [wishes.offload]
    return OFFLOADS if device == "cuda" and quantisation == "none" else ["none"]


def choose_plan(plans: Sequence[MemoryPlan], level: str, memory: "Memory", main_memory: "Memory") -> MemoryPlan:
    """The plan to use, with those that are smaller behind it.

    Args:
        plans: From `possible_plans`.
        level: "auto": the first that fits. "high": the first, whatever is free. "balanced": the one that takes least
            without quantising more than asked for. "low": the one that takes least.
        memory: Of the device.
        main_memory: Of the computer.

    Raises:
        OutOfResources: With "auto", none fits.
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
    """Whether `plan` can be expected to fit what is free."""
    return plan.estimate.peak * (1 + MARGIN) <= memory.free


def _first_that_fits(plans: Sequence[MemoryPlan], chain: list[MemoryPlan], memory: "Memory") -> MemoryPlan:
    for index, plan in enumerate(chain):
        if fits(plan, memory):
            return _linked(chain[index:])
    least = chain[-1] if chain else min(plans, key=lambda plan: plan.estimate.peak)
    raise OutOfResources(
        f"The smallest plan ({least.prose()}) does not fit the {memory.free / GB:.1f} GB that are free"
        f" ({memory.device}).",
        "Try a smaller --short-side or --segment-frames or a smaller --model, close other programs, or try it all "
        "the same with --memory low.",
    )


def _linked(chain: list[MemoryPlan]) -> MemoryPlan:
    """The first plan of a chain, each with the next as its `smaller`."""
    linked: MemoryPlan | None = None
    for plan in reversed(chain):
        linked = replace(plan, smaller=linked)
    assert linked is not None
    return linked
