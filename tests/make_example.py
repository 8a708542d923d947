"""Regenerate `onetoall_cli/assets/example`: the inputs of `onetoall demo` and the README's picture of the method.

    python tests/make_example.py
    onetoall demo && cp onetoall-demo/sheet.png onetoall_cli/assets/example/demo.png  # the README's first picture

A puppet's bust as the reference and another body's full-length dance as the driver, both from the puppet world.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from onetoall_cli.alignment import Conditioning, align, hatched
from onetoall_cli.media import write_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets import sample_pair

FOLDER = Path(__file__).parents[1] / "onetoall_cli" / "assets" / "example"
SEED, WIDTH, HEIGHT, FRAMES, SHOWN = 13, 384, 576, 41, 20
GAP, TOP = 56, 50


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    pair = sample_pair("misaligned", "test", SEED, width=WIDTH, height=HEIGHT, frames=FRAMES)
    reference = pair.reference.film()
    picture, pose, motion = reference.frames[0], rounded(reference.poses.frame(0)), rounded(pair.driver())
    write_picture(FOLDER / "reference.png", picture)
    pose.save(FOLDER / "reference.json")
    motion.save(FOLDER / "dance.json")
    conditioning = align(picture, pose, motion, width=WIDTH, height=HEIGHT, mode="pose")
    answer = pair.truth((conditioning.meta["scale"], *conditioning.meta["shift"])).frames[SHOWN]
    write_picture(FOLDER / "method.png", method_picture(picture, conditioning, answer))


def rounded(sequence: PoseSequence) -> PoseSequence:
    """Hundredths of a pixel are enough, and make a small file."""
    keypoints = sequence.keypoints.copy()
    keypoints[..., :2] = np.round(keypoints[..., :2], 2)
    return replace(sequence, keypoints=keypoints)


def method_picture(picture: np.ndarray, conditioning: Conditioning, answer: np.ndarray) -> np.ndarray:
    """reference > adjusted reference + pose > frame to generate."""
    (pose,) = conditioning.pose_frames(SHOWN, SHOWN + 1)
    panels = {
        "reference": picture,
        "adjusted; unknown hatched": hatched(conditioning, HEIGHT),
        "pose": pose,
        "frame to generate": answer,
    }
    sheet = Image.new("RGB", (len(panels) * (WIDTH + GAP), HEIGHT + TOP + GAP // 2), "white")
    pen = ImageDraw.Draw(sheet)
    for index, ((title, panel), sign) in enumerate(zip(panels.items(), (">", "+", ">", ""), strict=True)):
        left = GAP // 2 + index * (WIDTH + GAP)
        sheet.paste(Image.fromarray(panel), (left, TOP))
        pen.text((left + WIDTH / 2, TOP / 2), title, "black", ImageFont.load_default(24), anchor="mm")
        middle = (left + WIDTH + GAP / 2, TOP + HEIGHT / 2)
        pen.text(middle, sign, "black", ImageFont.load_default(44), anchor="mm")
    return np.asarray(sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main()
