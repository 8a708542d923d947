"""Finds the people of a picture from afar, with BlazePose's detection network."""

from dataclasses import dataclass, replace

from onetoall_cli.pose.detectors.builtin.networks import Networks
from onetoall_cli.pose.detectors.builtin.regions import Region, body_region
from onetoall_cli.pose.detectors.interface import Image


@dataclass(frozen=True)
class Find:
    """A person seen from afar.

    Attributes:
        region: Where to read them.
        chest: X, y px of the middle of their shoulders, which tells close neighbours apart.
        score: How sure the finder is, 0..1.
    """

    region: Region
    chest: tuple[float, float]
    score: float

    def enlarged(self, zoom: float) -> "Find":
        """The same find in the picture enlarged."""
        x, y, size = (zoom * value for value in (self.region.x, self.region.y, self.region.size))
        chest = (self.chest[0] * zoom, self.chest[1] * zoom)
        return replace(self, chest=chest, region=replace(self.region, x=x, y=y, size=size))


class PeopleFinder:
    """BlazePose's person detector.

    Args:
        networks: The package's.
        min_score: Finds below are dropped.
    """

    def __init__(self, networks: Networks, min_score: float) -> None:
        self._network = networks.pose_detection
        self._min_score = min_score

    def find(self, image: Image, view: Region) -> list[Find]:
        """The people in a square of a picture, in its pixels, highest score first; outside the picture it is black."""
        finds = []
        for found in self._network.find(image, view, self._min_score):
            hips, rim, chest = found.points[:3]
            finds.append(Find(body_region(hips, rim), (float(chest[0]), float(chest[1])), found.score))
        return finds
