"""Show what a LoRA of one character is good for, on `tiny`: the table and the sheet in the manual of training.

    python tests/make_character.py clips character/
    onetoall train tiny-lora -o my-lora/
    python tests/make_character.py measure my-lora/lora.safetensors sheet.webp

The character is a puppet of no split: its skin is green, its clothes are checked, and the world draws neither.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from onetoall_cli.animator import Animator, Settings, load
from onetoall_cli.animator.settings import ModelSettings
from onetoall_cli.evaluation.puppets.cases import Case, case_of
from onetoall_cli.evaluation.puppets.scores import score
from onetoall_cli.evaluation.puppets.segment_borders import generate
from onetoall_cli.media import VideoWriter, picture_grid, write_picture
from onetoall_cli.puppets import Framing, Identity, sample_identity, sample_pair, sample_scene

WIDTH, HEIGHT, FRAMES, FPS = 192, 288, 13, 16.0
CLIPS, CLIP_FRAMES = 12, 48
COUNT, SHOWN = 12, (1, 2)  # puppets of a task, and those of them on the sheet
TASKS = ("misaligned", "transfer")
MEASURES = {
    "psnr": "PSNR dB",
    "iou": "foreground IoU",
    "shown_colour": "colour error % shown",
    "unseen_colour": "colour error % unseen",
    "face_psnr": "face PSNR dB",
}


def character() -> Identity:
    """The puppet that every test of this file is about."""
    someone = sample_identity("test", 0)
    look = replace(
        someone.look,
        skin=(104, 190, 96),
        lips=(60, 120, 60),
        hair=(128, 36, 40),
        hair_style="spiky",
        hat="none",
        glasses=False,
        beard="none",
        top="tee",
        top_colour=(246, 214, 70),
        pattern="checks",
        pattern_colour=(30, 30, 40),
        bottom="shorts",
        bottom_colour=(236, 110, 40),
        shoe="boot",
        shoe_colour=(120, 40, 160),
    )
    return Identity(replace(someone.body, head=0.28), someone.face, look, code="")


def write_clips(folder: Path) -> None:
    """Write dances of the character as videos with their pose files."""
    folder.mkdir(parents=True)
    framings = get_args(Framing)
    for number in range(CLIPS):
        framing = framings[number % len(framings)]
        scene = sample_scene("train", number, width=WIDTH, height=HEIGHT, frames=CLIP_FRAMES, framing=framing, fps=FPS)
        film = replace(scene, identity=character()).film()
        with VideoWriter(folder / f"dance-{number:02}.mp4", WIDTH, HEIGHT, fps=FPS, crf=8) as writer:
            for frame in film.frames:
                writer.write(frame)
        film.poses.save(folder / f"dance-{number:02}.json")


def cases(task: str, who: Identity | None, model: Animator) -> Iterator[Case]:
    """Held-out motions and places, danced by the character or, with None, by the held-out puppets they belong to."""
    frames = 1 if task == "transfer" else FRAMES
    for number in range(COUNT):
        pair = sample_pair(task, "test", number, width=WIDTH, height=HEIGHT, frames=frames)  # type: ignore[arg-type]
        if who is not None:
            scenes = (replace(scene, identity=who) for scene in (pair.reference, pair.target))
            pair = replace(pair, **dict(zip(("reference", "target"), scenes, strict=True)))
        yield case_of(pair, number, canvas_short_side=model.defaults.pose_canvas_short_side, face=model.defaults.face)


def measure(lora: Path, sheet: Path) -> None:
    """Print the figures without and with the LoRA, and draw a sheet."""
    models = {"tiny": load("tiny"), "with the LoRA": load("tiny", settings=ModelSettings(lora=(str(lora),)))}
    rows = []
    print(f"| | | | {' | '.join(MEASURES.values())} |\n|---|---|---|{'---:|' * len(MEASURES)}")
    for who, title in ((character(), "the character"), (None, "other puppets")):
        for task in TASKS:
            found: dict[str, list[dict[str, float]]] = {name: [] for name in models}
            for case in cases(task, who, models["tiny"]):
                made = {
                    name: generate(m, case.conditioning, Settings(), case.number, FRAMES) for name, m in models.items()
                }
                for name, result in made.items():
                    found[name].append(score(result, case))
                if task == "misaligned" and case.number in SHOWN:
                    rows.append([case.reference, case.truth.frames[-1], *(result[-1] for result in made.values())])
            before, after = (
                np.array([[each[measure] for measure in MEASURES] for each in scores]) for scores in found.values()
            )
            print_row(title, task, "tiny", before)
            print_row(title, task, "with the LoRA", after)
            print_row(title, task, "difference", after - before, signed=True)
    write_picture(sheet, picture_grid(rows))


def print_row(title: str, task: str, what: str, values: np.ndarray, *, signed: bool = False) -> None:
    counts = (~np.isnan(values)).sum(axis=0)
    means, errors = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1) / np.sqrt(counts)
    cells = [f"{mean:{'+' if signed else ''}.3g} ± {error:.2g}" for mean, error in zip(means, errors, strict=True)]
    print(f"| {title} | {task} | {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "clips":
        write_clips(Path(sys.argv[2]))
    else:
        measure(Path(sys.argv[2]), Path(sys.argv[3]))
