"""Measure a pose detector on what people film: puppets in hard poses and scenes, where the truth is known.

    python tests/pose/hard_cases.py [--detector NAME] [--case NAME] [--sheet FILE]

Prints, for each case: the people shown and how many of them were missed; people found where none is; the part of the
visible body points within 0.2 torsos of the truth (PCK); of clips, how often somebody's number changed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from puppet_crowds import Cutout, compose, cutout, stage

from onetoall_cli.media import write_picture
from onetoall_cli.media.sheet import contact_sheet
from onetoall_cli.pose import find_people, open_detector, overlay_pose
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.assignment import cheapest_pairs
from onetoall_cli.pose.detectors import Detector
from onetoall_cli.puppets.render import SEEN

SIDE, PUPPETS, FPS = 480, (1, 3, 5, 6, 8, 11), 16.0
TORSOS = 0.2  # as PCK is mostly given
SAME_PERSON = 0.5  # mean distance of joints in body sizes up to which a find is that person
COLUMNS, HEIGHT = 6, 150  # of the sheet
ENOUGH_SEEN = 5  # body points, for somebody to be expected


class Case(NamedTuple):
    """Frames uint8 (H, W, 3), and everyone in them, (frames, people, 133, 3); a clip, or unrelated pictures."""

    frames: list[NDArray[np.uint8]]
    truth: NDArray[np.float32]
    is_clip: bool = False


class Score(NamedTuple):
    """Counts of one case."""

    people: int
    missed: int
    false: int
    points: int
    right: int
    changes: int | None

    def __str__(self) -> str:
        pck = f"{100 * self.right / self.points:.0f} %" if self.points else "-"
        changes = "" if self.changes is None else str(self.changes)
        return f"{self.people} | {self.missed} | {self.false} | {pck} | {changes}"


def pictures(change=lambda frame: frame, *, rotate: int = 0, scale: float = 0.9, x: float = 0.0, **how) -> Case:
    """One picture of each puppet; `x` moves it aside, in widths of the picture."""
    frames, truth = [], []
    for seed in PUPPETS:
        still = cutout(seed, side=SIDE, frames=1, first=12, **how).rotated(rotate).scaled(scale)
        corner = SIDE * np.array([(1 - scale) / 2 + x, (1 - scale) / 2])
        (frame,), points = compose(stage(seed, SIDE, SIDE), [(still, corner[None])])
        frames.append(change(frame))
        truth.append(points[0])
    return Case(frames, np.stack(truth))


def beside(second: Callable[[int, Cutout], Cutout], scale: float, x: float) -> Case:
    """Pictures of a puppet, and of another figure in a frame behind: in a mirror, on a screen.

    Args:
        second: Makes it, of the puppet's number and the puppet.
        scale: Its size, in that of the picture.
        x: Where it begins, in widths of the picture.
    """
    frames, truth = [], []
    for seed in PUPPETS:
        one = cutout(seed, side=SIDE, frames=1, first=12).scaled(0.75)
        other = second(seed, one).scaled(scale / 0.75)
        side, corner = other.frames.shape[1], (round(x * SIDE), round(0.1 * SIDE))
        behind = stage(seed, SIDE, SIDE)
        pane = behind[corner[1] : corner[1] + side, corner[0] : corner[0] + side]
        pane[:] = 40
        pane[6:-6, 6:-6] = 190
        actors = [(other, np.array([corner])), (one, np.array([[-0.12 * SIDE, 0.24 * SIDE]]))]
        (frame,), points = compose(behind, actors)
        frames.append(frame)
        truth.append(points[0])
    return Case(frames, np.stack(truth))


def on_air(seed: int, one: Cutout) -> Cutout:
    """Somebody else, as large as `one`."""
    return cutout(seed + 20, side=SIDE, frames=1).scaled(one.frames.shape[1] / SIDE)


def clip(paths: list[tuple[int, float, list[float]]], frames: int = 48) -> Case:
    """Puppets that walk: seed, scale, and x of their middle in widths of the picture at evenly spaced moments."""
    width, height = 720, 400
    actors = []
    for seed, scale, places in paths:
        actor = cutout(seed, side=round(0.9 * height), frames=frames).scaled(scale)
        moments = np.linspace(0, frames - 1, len(places))
        x = np.interp(np.arange(frames), moments, places) * width - actor.frames.shape[1] / 2
        y = np.full(frames, 0.97 * height - actor.frames.shape[1])
        actors.append((actor, np.stack([x, y], axis=1)))
    return Case(*compose(stage(2, width, height), actors), is_clip=True)


def darkened(part: float):
    noise = np.random.default_rng(0).normal(0, 2, (SIDE, SIDE, 3))
    return lambda frame: np.clip(frame * part + noise, 0, 255).astype(np.uint8)


def blurred(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """By movement to the side of a twentieth of the picture."""
    length = SIDE // 20
    return cv2.blur(frame, (length, 1))


def backlit(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A bright window behind the middle veils everything."""
    x, y = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    light = 230 * np.exp(-1.5 * (x**2 + y**2))[..., None]
    return np.clip(0.25 * frame + light, 0, 255).astype(np.uint8)


CASES: dict[str, Callable[[], Case]] = {
    "standing, from the front": pictures,
    "from the side": lambda: pictures(turn=np.pi / 2),
    "from behind": lambda: pictures(turn=np.pi),
    "seated": lambda: pictures(seated=True),
    "lying": lambda: pictures(rotate=1),
    "upside down": lambda: pictures(rotate=2),
    "small (a fifth)": lambda: pictures(scale=0.2),
    "half outside": lambda: pictures(x=0.45),
    "very dark": lambda: pictures(darkened(0.06)),
    "against the light": lambda: pictures(backlit),
    "motion blur": lambda: pictures(blurred),
    "in a long dress": lambda: pictures(in_a_dress=True),
    "in a mirror": lambda: beside(lambda seed, one: one.mirrored(), 0.6, 0.4),
    "on a screen behind": lambda: beside(
        lambda seed, one: cutout(seed + 20, side=SIDE, frames=1).scaled(0.75), 0.5, 0.5
    ),
    "enters and leaves": lambda: clip([(1, 1.0, [-0.3, 0.5, 1.3])]),
    "one leaves, another comes": lambda: clip([(1, 1.0, [0.3, -0.4, -0.4]), (6, 1.0, [-0.4, -0.4, 0.3])]),
    "two cross": lambda: clip([(1, 1.0, [0.2, 0.8]), (6, 1.0, [0.8, 0.2])]),
    "three cross": lambda: clip([(1, 1.0, [0.15, 0.85]), (6, 1.0, [0.85, 0.15]), (3, 0.9, [0.5, 0.45])]),
    "child beside adult": lambda: clip([(1, 1.0, [0.35, 0.4]), (5, 0.55, [0.65, 0.6])]),
}


def measure(case: Case, detector: Detector) -> tuple[Score, list[NDArray[np.float32]]]:
    """How well a detector does, and everyone it found in each frame."""
    height, width = case.frames[0].shape[:2]
    if case.is_clip:
        timed = ((frame, index / FPS) for index, frame in enumerate(case.frames))
        sequence = find_people(timed, detector, width=width, height=height, fps=FPS)
        found = [everyone for everyone in sequence.keypoints]
    else:
        found = detector.detect(case.frames)
    total, missed, false, points, right, changes = 0, 0, 0, 0, 0, 0
    known: dict[int, int] = {}
    for truth, everyone in zip(case.truth, found, strict=True):
        there = np.flatnonzero(everyone[..., 2].any(axis=1))
        expected = np.flatnonzero((truth[:, kp.BODY, 2] == SEEN).sum(axis=1) >= ENOUGH_SEEN)
        pairs = matched(truth[expected], everyone[there])
        total, missed, false = (
            total + len(expected),
            missed + len(expected) - len(pairs),
            false + len(there) - len(pairs),
        )
        for row, column in pairs:
            who, number = int(expected[row]), int(there[column])
            seen = truth[who, kp.BODY, 2] == SEEN
            off = np.linalg.norm(truth[who, kp.BODY, :2] - everyone[number, kp.BODY, :2], axis=1)
            points, right = points + int(seen.sum()), right + int((off[seen] < TORSOS * _torso(truth[who])).sum())
            changes += known.get(who, number) != number
            known[who] = number
    both = len(set(known.values())) < len(known)  # two people under one number
    return Score(total, missed, false, points, right, changes + both if case.is_clip else None), found


def matched(truth: NDArray, found: NDArray) -> list[tuple[int, int]]:
    """Who was found as whom."""
    if not len(truth) or not len(found):
        return []
    costs = np.array([[_apart(one, other) for other in found] for one in truth])
    return [pair for pair in cheapest_pairs(costs) if costs[pair] < SAME_PERSON]


def _apart(truth: NDArray, found: NDArray) -> float:
    inside = truth[kp.BODY, 2] > 0
    size = np.linalg.norm(np.ptp(truth[kp.BODY, :2], axis=0))
    return float(np.linalg.norm((truth - found)[kp.BODY, :2][inside], axis=1).mean() / size)


def _torso(person: NDArray) -> float:
    shoulders, hips = person[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2], person[[kp.LEFT_HIP, kp.RIGHT_HIP], :2]
    return float(np.linalg.norm(shoulders.mean(axis=0) - hips.mean(axis=0)))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--detector", default="builtin")
    arguments.add_argument("--sheet", type=Path, help="also write a picture of each case with what was found")
    arguments.add_argument("--case", choices=CASES, action="append", help="only this one; may be repeated")
    given = arguments.parse_args()
    print("| case | people | missed | false | points right | numbers changed |\n|---|---|---|---|---|---|")
    shown = []
    with open_detector(given.detector) as detector:
        for name in given.case or CASES:
            case = CASES[name]()
            score, found = measure(case, detector)
            print(f"| {name} | {score} |", flush=True)
            seen = [int(everyone[..., 2].any(axis=1).sum()) for everyone in found]
            best = int(np.argmax(seen)) if case.is_clip else len(case.frames) // 2
            shown.append((name, overlay_pose(case.frames[best], found[best])))
    if given.sheet:
        rows = [shown[start : start + COLUMNS] for start in range(0, len(shown), COLUMNS)]
        write_picture(given.sheet, contact_sheet(rows, HEIGHT))


if __name__ == "__main__":
    main()
