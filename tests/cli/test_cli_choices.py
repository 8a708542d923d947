"""Choices on the command line are those of the library's tables: a new row shows, or a test fails."""

import inspect
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from onetoall_cli.cli.bench import bench
from onetoall_cli.cli.fetch import FetchOptions


def choices(hint: Any) -> set[str]:
    """The strings of a Literal, wherever it stands in a type."""
    if get_origin(hint) is Annotated:
        return choices(get_args(hint)[0])
    found: set[str] = set()
    for part in get_args(hint):
        found |= {part} if isinstance(part, str) else choices(part)
    return found


def option(command: Any, name: str) -> set[str]:
    return choices(inspect.signature(command).parameters[name].annotation)


@pytest.fixture(scope="module")
def animate() -> Any:
    from onetoall_cli.cli import animate

    return animate.animate


def test_precisions(animate) -> None:
    from onetoall_cli.precisions import QUANTISED, REDUCED, UNQUANTISED

    assert option(animate, "quantize") == {UNQUANTISED, *REDUCED}
    assert choices(get_type_hints(FetchOptions)["quantize"]) == set(QUANTISED)


def test_memory_levels_and_offloading(animate) -> None:
    from onetoall_cli.runtime.plan import LEVELS, OFFLOADS

    assert option(animate, "memory") == set(LEVELS)
    assert option(animate, "offload") == set(OFFLOADS)


def test_samplers_caches_presets_and_kernels(animate) -> None:
    from onetoall_cli.sampling.caching import CACHES
    from onetoall_cli.sampling.carrying import CARRIES
    from onetoall_cli.sampling.kernels import KERNELS
    from onetoall_cli.sampling.presets import FAST
    from onetoall_cli.sampling.solvers import SAMPLERS

    assert option(animate, "sampler") == set(SAMPLERS)
    assert option(animate, "cache") == set(CACHES)
    assert option(animate, "fast") == set(FAST)
    assert option(animate, "carry") == set(CARRIES)
    assert option(animate, "attention") == {"auto", *KERNELS}


def test_number_formats(animate) -> None:
    from onetoall_cli.runtime.device import DTYPES

    assert option(animate, "dtype") == set(DTYPES)


def test_alignment(animate) -> None:
    from onetoall_cli.alignment import FITS, Mode
    from onetoall_cli.pose.drawing import Face, Head

    assert option(animate, "align") == set(get_args(Mode))
    assert option(animate, "fit") == set(FITS)
    assert option(animate, "face") == {"auto", *get_args(Face)}
    assert option(animate, "head") == {"auto", *get_args(Head)}


def test_shapes_of_random_weights() -> None:
    from onetoall_cli.bench.networks import SHAPES

    assert option(bench, "random") == set(SHAPES)


def test_detectors(animate) -> None:
    from onetoall_cli.cli import transfer
    from onetoall_cli.pose.detectors.table import DETECTORS

    for command in (animate, transfer.transfer):
        assert option(command, "detector") == {"auto", *(row.name for row in DETECTORS)}
