"""The table of pose detectors, the best first. A new one is a module that opens it, and a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onetoall_cli.pose.detectors import dwpose, vitpose
from onetoall_cli.pose.detectors.builtin.detector import Builtin
from onetoall_cli.pose.detectors.interface import Detector


@dataclass(frozen=True)
class DetectorRow:
    """One detector.

    Attributes:
        name: What `--detector` calls it.
        files: The names its ONNX files are published under; none if the package ships them.
        fetch: The entry of `onetoall fetch` that brings them, or None.
        cost: What it takes, for people.
        open: Opens it from the paths of `files` (files or the folders that hold them) and a device ("auto", "cpu",
            "cuda", "cuda:N").
    """

    name: str
    files: tuple[str, ...]
    fetch: str | None
    cost: str
    open: Callable[[list[Path], str], Detector]


DETECTORS = (
    DetectorRow(
        vitpose.NAME,
        vitpose.FILES,
        vitpose.FETCH,
        "2.6 GB to fetch; wants a GPU",
        lambda files, device: vitpose.open_vitpose(*files, device=device),
    ),
    DetectorRow(
        dwpose.NAME,
        dwpose.FILES,
        dwpose.FETCH,
        "0.35 GB to fetch",
        lambda files, device: dwpose.open_dwpose(*files, device=device),
    ),
    DetectorRow(Builtin.name, (), None, "comes with the package; runs on the CPU", lambda files, device: Builtin()),
)
