"""The metrics of results against their truth: one table of what there is, and how each is set up.

A metric whose network is not installed is left out with a line that says how to get it; asked for by name, it is an
error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from onetoall_cli.errors import BadInput, ModelMissing, OnetoallError
from onetoall_cli.evaluation.networks import stored
from onetoall_cli.evaluation.pairs.clip_features import (
    CFLDFeatures,
    ClipFeatures,
    FIDFeatures,
    FIDVIDFeatures,
    FVDFeatures,
)
from onetoall_cli.evaluation.pairs.people_measures import BodyDistance, FaceLikeness, PeopleInPairs
from onetoall_cli.evaluation.pairs.picture_measures import Picture, psnr
from onetoall_cli.evaluation.pairs.protocols import Protocol
from onetoall_cli.hub.entry_files import entry_file
from onetoall_cli.pose import detect
from onetoall_cli.pose.detectors.interface import Detector
from onetoall_cli.runtime.device import pick_device

Kind = Literal["videos", "pictures"]
Measure = Callable[[Picture, Picture], float]


@dataclass(frozen=True)
class Metric:
    """A metric as tables show it.

    Attributes:
        heading: In tables.
        higher: Whether more is better.
        decimals: Shown.
        kinds: What it can compare.
        is_distance: A Frechet distance between all clips, and not a mean over them.
    """

    heading: str
    higher: bool
    decimals: int
    kinds: tuple[Kind, ...] = ("videos", "pictures")
    is_distance: bool = False


METRICS = {
    "psnr": Metric("PSNR dB", True, 2),
    "ssim": Metric("SSIM", True, 3),
    "lpips": Metric("LPIPS", False, 3),
    "fvd": Metric("FVD", False, 1, ("videos",), is_distance=True),
    "fid-vid": Metric("FID-VID", False, 1, ("videos",), is_distance=True),
    "fid": Metric("FID", False, 2, ("pictures",), is_distance=True),
    "csim": Metric("CSIM", True, 4),
    "apd-body": Metric("APD-body", False, 4),
}
FACES = ("face", "face-arcface")  # entries of face embeddings, the free one first


@dataclass
class Instruments:
    """Everything that measures, ready.

    Attributes:
        frame: Measures of a frame, by metric.
        clip: For each Frechet distance what makes the collector of a clip's vectors.
        skipped: Metrics left out, and why.
        notes: What a reader of the figures should know, such as which detector found the people.
    """

    frame: dict[str, Measure] = field(default_factory=dict)
    clip: dict[str, Callable[[], ClipFeatures]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    detector: Detector | None = None

    def close(self) -> None:
        """Free the pose detector."""
        if self.detector is not None:
            self.detector.close()


def set_up(
    asked: Sequence[str] | None,
    kind: Kind,
    protocol: Protocol,
    *,
    among: Sequence[str] = tuple(METRICS),
    device: str = "auto",
    detector: str = "auto",
) -> Instruments:
    """Load what the metrics need.

    Args:
        asked: Names in `METRICS`; None takes all of `among` that can be had.
        kind: What is compared.
        protocol: How.
        among: Names in `METRICS`.
        device: For the networks.
        detector: Name of the pose detector for CSIM and APD-body.

    Raises:
        BadInput: A name is unknown, or the metric does not go with `kind`, or its package is missing.
        ModelMissing: The network of a metric that was asked for is not installed.
    """
    for name in asked or ():
        if name not in METRICS:
            raise BadInput(f"There is no metric '{name}'.", f"Known: {', '.join(METRICS)}.")
        if kind not in METRICS[name].kinds:
            raise BadInput(f"{METRICS[name].heading} is not for {kind}.", f"Leave {name} out of --metrics.")
    instruments = Instruments()
    where = pick_device(device)
    for name in asked or [name for name in among if kind in METRICS[name].kinds]:
        try:
            _add(instruments, name, protocol, where, detector)
        except OnetoallError as error:
            if asked or not isinstance(error, ModelMissing | BadInput):
                raise
            instruments.skipped[name] = f"{error.problem} {error.advice}"
    return instruments


def _add(instruments: Instruments, name: str, protocol: Protocol, device: torch.device, detector: str) -> None:
    frame, clip = instruments.frame, instruments.clip
    if name == "psnr":
        frame[name] = psnr
    elif name == "ssim":
        frame[name] = protocol.ssim
    elif name == "lpips":
        frame[name] = _lpips(protocol, device)
    elif name == "fvd":
        network = _network("i3d", name, device)
        clip[name] = lambda: FVDFeatures(network, protocol.fvd_window)
    elif name == "fid-vid":
        network = _network("resnet3d", name, device)
        clip[name] = lambda: FIDVIDFeatures(network)
    elif name == "fid":
        network = _network(protocol.fid, name, device)
        collector = CFLDFeatures if protocol.fid == "inception-tv" else FIDFeatures
        clip[name] = lambda: collector(network)
    elif name == "csim":
        entry = next((entry for entry in FACES if stored.is_installed(entry)), None)
        if entry is None:
            raise stored.missing(FACES[0], METRICS[name].heading)
        file = entry_file(entry)
        assert file is not None
        frame[name] = FaceLikeness(_people(instruments, detector), file, entry, str(device))
        instruments.notes.append(f"CSIM: cosine of {'SFace' if entry == 'face' else 'ArcFace'} embeddings.")
    else:
        frame[name] = BodyDistance(_people(instruments, detector))


def _network(entry: str, metric: str, device: torch.device) -> torch.nn.Module:
    if not stored.is_installed(entry):
        raise stored.missing(entry, METRICS[metric].heading)
    return stored.load_network(entry, device)


def _lpips(protocol: Protocol, device: torch.device) -> Measure:
    network = _network(protocol.lpips, "lpips", device)
    scale, shift = (255, 0) if protocol.lpips_from_zero else (127.5, 1)

    def measure(made: Picture, true: Picture) -> float:
        pictures = [torch.from_numpy(each).permute(2, 0, 1)[None].to(device) / scale - shift for each in (made, true)]
        with torch.no_grad():
            return float(network(*pictures))

    return measure


def _people(instruments: Instruments, detector: str) -> PeopleInPairs:
    """One finder of people for all measures: they share its findings."""
    for measure in instruments.frame.values():
        if isinstance(measure, FaceLikeness | BodyDistance):
            return measure.people
    instruments.detector = detect.open_detector(detector)
    instruments.notes.append(f"People found by {instruments.detector.description}.")
    return PeopleInPairs(instruments.detector)
