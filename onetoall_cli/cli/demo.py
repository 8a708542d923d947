"""`onetoall demo`: the whole method on bundled inputs with the model inside the package. No download, no detector."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from onetoall_cli.animator.jobs import files_of
from onetoall_cli.animator.settings import ModelSettings
from onetoall_cli.cli.options import Device, Seed, subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.files import Output, whole_folder

if TYPE_CHECKING:
    import numpy as np

    from onetoall_cli.alignment import Conditioning
    from onetoall_cli.animator import RunPlan

EXAMPLE = Path(__file__).parent.parent / "assets" / "example"
REFERENCE, REFERENCE_POSE, MOTION = "reference.png", "reference.json", "dance.json"
RESULT, COMPARISON, SHEET = "result.mp4", "compare.mp4", "sheet.png"
PANEL_HEIGHT = 384  # px in the comparison: the small model's own frames would be lost on a screen
SHEET_HEIGHT, SHEET_FRAMES = 288, 8


@subcommand
def demo(
    report: Report,
    output: Annotated[Path, Option("--output", "-o", metavar="DIR", help="Folder to write.")] = Path("onetoall-demo"),
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing folder.")] = False,
    model: Annotated[str, Option(metavar="NAME|DIR", help="Model; tiny is inside the package.")] = "tiny",
    seed: Seed = 42,
    device: Device = "auto",
) -> None:
    """Animate a bundled character, with no input, no download and no GPU.

    Writes the reference, its motion, the result, all of it side by side, and a contact sheet.

    Example: onetoall demo
    """
    from onetoall_cli.animator import load, write_clip
    from onetoall_cli.media import read_picture
    from onetoall_cli.pose.drawing import draw_motion

    check_targets([Output(output, kind="demo")], inputs=files_of(ModelSettings(model)), overwrite=overwrite)
    animator = load(model, device=device, listener=report.listener)
    result = animator.animate(
        EXAMPLE / REFERENCE, EXAMPLE / MOTION, ref_pose=EXAMPLE / REFERENCE_POSE, seed=seed
    ).renamed({EXAMPLE / name: output / name for name in (REFERENCE, MOTION, REFERENCE_POSE)})
    report.note(result.plan.prose())
    motion = result.conditioning.motion
    with whole_folder(output, "demo") as folder:
        for name in (REFERENCE, REFERENCE_POSE, MOTION):
            shutil.copyfile(EXAMPLE / name, folder / name)
        write_clip(folder / "dance.mp4", draw_motion(motion), motion)
        frames = list(result)
        write_clip(folder / RESULT, frames, motion, result.record)
        _write_comparison(folder, read_picture(EXAMPLE / REFERENCE), result.conditioning, frames)
    report.result(
        _prose(output, result.plan),
        output=output,
        result=output / RESULT,
        compare=output / COMPARISON,
        sheet=output / SHEET,
        **result.plan.fields(),
    )


def _write_comparison(
    folder: Path, reference: np.ndarray, conditioning: Conditioning, frames: list[np.ndarray]
) -> None:
    """The side-by-side video, and the contact sheet: what was given above, what was made below."""
    from onetoall_cli.alignment import hatched
    from onetoall_cli.animator import write_clip
    from onetoall_cli.media import contact_sheet, side_by_side, write_picture

    poses = conditioning.pose_frames(0, len(frames))
    known = hatched(conditioning, PANEL_HEIGHT)
    panels = (
        side_by_side([reference, known, pose, frame], PANEL_HEIGHT) for pose, frame in zip(poses, frames, strict=True)
    )
    write_clip(folder / COMPARISON, panels, conditioning.motion)
    shown = [round(index * (len(frames) - 1) / (SHEET_FRAMES - 1)) for index in range(SHEET_FRAMES)]
    times = [f"{conditioning.motion.clock()[index]:.1f} s" for index in shown]
    rows = [
        [("reference", reference), *zip(times, (poses[index] for index in shown), strict=True)],
        [("adjusted: hatched is unknown", known), *(("", frames[index]) for index in shown)],
    ]
    write_picture(folder / SHEET, contact_sheet(rows, SHEET_HEIGHT))


def _prose(output: Path, plan: RunPlan) -> str:
    """What was written, and what to do next."""
    return f"""\
{output}/{RESULT}   {plan.frames} frames, {plan.width} x {plan.height}
{output}/{COMPARISON}  reference, what is known of it, motion, result
{output}/{SHEET}    the same at a glance

Next, with a picture and a dance of your own:
  onetoall fetch 1.3b                            the released model
  onetoall animate ref.png dance.mp4 -o out.mp4
The model {plan.model} knows nothing but puppets:
  onetoall animate {output}/{REFERENCE} dance.mp4 --ref-pose {output}/{REFERENCE_POSE} --model {plan.model}"""
