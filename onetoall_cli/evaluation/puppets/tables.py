"""Output of an evaluation: tables as text or Markdown, the targets, and a sheet of pictures."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onetoall_cli.evaluation.puppets.evaluation import COPY, FILLED, Evaluation, ExampleFrames, Statistic, Table
from onetoall_cli.media import contact_sheet, write_picture

TITLES = {
    "aligned": "Aligned animation",
    "misaligned": "Misaligned animation (bust or half-length reference, full-body motion, another face driving)",
    "transfer": "Pose transfer",
}
# measure: heading in text (at most 6 characters), heading in Markdown, decimals.
MEASURES = {
    "psnr": ("PSNR", "PSNR dB", 2),
    "ssim": ("SSIM", "SSIM", 3),
    "iou": ("IoU", "foreground IoU", 3),
    "iou_difference": ("IoU2", "IoU of all that differs", 3),
    "joint_percent": ("joint%", "joint error % of height", 2),
    "shown_colour": ("shown%", "colour error % shown", 1),
    "unseen_colour": ("unsee%", "colour error % unseen", 1),
    "face_psnr": ("facedB", "face PSNR dB", 2),
    "own_face": ("own dB", "nearer to own face dB", 2),
}
BORDER_TITLE = """\
Change across segment borders, over the median change within segments; latent:
over the median change from one latent frame to the next. Medians over puppets."""
# film: heading in text (at most 11 characters), heading in Markdown.
BORDER_FILMS = {
    "replace": ("replace", "token replace"),
    "without": ("without", "without"),
    "vae": ("VAE", "VAE of the truth"),
    "truth": ("truth", "the truth"),
}
# The changes within segments to compare with: ending of the measure's name, heading.
AMONG = {"": "all frames", "_latent": "latent frames"}
EXPRESSION_TITLE = """\
Expression: the part of what the driver's mouth and eyes do that is done
(1: as in the truth; the VAE: the truth, encoded and decoded)."""
EXPRESSION_COLUMNS = {"result": "result", "vae": "VAE of the truth"}
LEGEND = """\
IoU: of the puppet's outline; IoU2: of all that differs from the backdrop;
joint%: mean joint error in % of the puppet's height; shown%, unsee%: colour
error of clothes and hair that the reference shows, or does not; facedB: PSNR in
the face's box; own dB: by how much that is nearer to the puppet's own face than
to the driver's."""


@dataclass(frozen=True)
class Target:
    """A target of the small model: `value` is at least (or at most) `wanted`."""

    name: str
    value: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


def targets(evaluation: Evaluation, subject: str) -> list[Target]:
    """The targets of the small model that the plan covers, for one subject."""
    found = []
    table = evaluation.tasks.get("misaligned")
    if table:
        for rival in (COPY, FILLED):
            gain = table[subject]["psnr"].mean - table[rival]["psnr"].mean
            found.append(Target(f"misaligned: dB PSNR over '{rival}'", gain, 5.0))
        found.append(Target("misaligned: foreground IoU", table[subject]["iou"].mean, 0.80))
    for task, rows in evaluation.tasks.items():
        colour = rows[subject]["shown_colour"].mean
        found.append(Target(f"{task}: colour error, shown, %", colour, 10.0, at_most=True))
    if subject in evaluation.borders:
        for ending, among in AMONG.items():
            ratio = evaluation.borders[subject][f"replace{ending}"].mean
            found.append(Target(f"segment border over {among}", ratio, 1.25, at_most=True))
    return found


def as_text(evaluation: Evaluation) -> str:
    """Tables of 80 columns for a terminal."""
    parts = []
    for task, table in evaluation.tasks.items():
        head = " " * 17 + "".join(f"{heading:>7}" for heading, _, _ in MEASURES.values())
        rows = [
            f"{name[:17]:17}"
            + "".join(f"{_number(row[each], decimals):>7}" for each, (_, _, decimals) in MEASURES.items())
            for name, row in table.items()
        ]
        parts.append("\n".join([TITLES[task].partition(" (")[0], head, *rows]))
    if evaluation.tasks:
        parts.append(LEGEND)
    if evaluation.borders:
        head = f"{'':31}" + "".join(f"{heading:>12}" for heading, _ in BORDER_FILMS.values())
        rows = [
            f"{name[:17]:17} {among:13}" + "".join(f"{_number(row[film + ending], 2):>12}" for film in BORDER_FILMS)
            for name, row in evaluation.borders.items()
            for ending, among in AMONG.items()
        ]
        parts.append("\n".join([BORDER_TITLE, head, *rows]))
    if evaluation.expressions:
        head = f"{'':31}" + "".join(f"{heading:>18}" for heading in EXPRESSION_COLUMNS.values())
        rows = [
            f"{name[:31]:31}" + "".join(f"{_number(row[each], 2):>18}" for each in EXPRESSION_COLUMNS)
            for name, row in evaluation.expressions.items()
        ]
        parts.append("\n".join([EXPRESSION_TITLE, head, *rows]))
    for subject in evaluation.sampling:
        lines = [
            f"{'met' if each.met else 'MISSED':7}{each.name}: {each.value:.2f} "
            f"(wanted: {'at most' if each.at_most else 'at least'} {each.wanted:g})"
            for each in targets(evaluation, subject)
        ]
        parts.append("\n".join([f"Targets, {subject}", *lines]))
    return "\n\n".join(parts)


def as_markdown(evaluation: Evaluation, command: str) -> str:
    """The same tables as Markdown for a model card, with the command that prints them."""
    plan = evaluation.plan
    lines = [
        f"Puppets 0 to {plan.count - 1} of the {plan.split} split in each task; none of their identities and motions "
        f"occurs in training. {plan.width} x {plan.height} px, {plan.frames} frames an animation; means and their "
        "standard errors.",
        "",
        f"Printed by `{command}`.",
    ]
    for task, table in evaluation.tasks.items():
        lines += ["", f"### {TITLES[task]}", "", *_markdown_table(table)]
    if evaluation.borders:
        lines += ["", "### Change across segment borders, over the median change within segments", ""]
        lines += [
            "*Latent frames*: compared only with the changes from one latent frame to the next, of which a",
            "border is one. Medians over puppets.",
            "",
        ]
        head = " | ".join(heading for _, heading in BORDER_FILMS.values())
        lines += [f"| | compared with | {head} |", "|---|---|" + "---:|" * len(BORDER_FILMS)]
        for name, row in evaluation.borders.items():
            for ending, among in AMONG.items():
                figures = [_with_error(row[film + ending], 2) for film in BORDER_FILMS]
                lines.append(f"| {name} | {among} | " + " | ".join(figures) + " |")
    if evaluation.expressions:
        lines += ["", "### Expression: the part of what the driver's mouth and eyes do that is done", ""]
        lines += [f"| | {' | '.join(EXPRESSION_COLUMNS.values())} |", "|---|" + "---:|" * len(EXPRESSION_COLUMNS)]
        for name, row in evaluation.expressions.items():
            lines.append(f"| {name} | " + " | ".join(_with_error(row[each], 2) for each in EXPRESSION_COLUMNS) + " |")
    for subject in evaluation.sampling:
        lines += ["", f"### Targets, {subject}", "", "| target | wanted | measured | |", "|---|---:|---:|---|"]
        for each in targets(evaluation, subject):
            wanted = f"{'≤' if each.at_most else '≥'} {each.wanted:g}"
            lines.append(f"| {each.name} | {wanted} | {each.value:.2f} | {'met' if each.met else '**missed**'} |")
    return "\n".join(lines) + "\n"


def measure_rows(evaluation: Evaluation) -> list[list[str | float]]:
    """A table of all measures: the headings, then a row for each task, subject or baseline, and measure."""
    rows: list[list[str | float]] = [["task", "subject", "measure", "mean", "error", "count"]]
    for task, table in {
        **evaluation.tasks,
        "borders": evaluation.borders,
        "expressions": evaluation.expressions,
    }.items():
        for subject, row in table.items():
            rows += [[task, subject, name, each.mean, each.error, each.count] for name, each in row.items()]
    return rows


def write_examples(path: Path, examples: list[ExampleFrames]) -> None:
    """Write a PNG with a row for each example: reference, adjusted reference (unknown: white), pose, truth, results."""
    rows = []
    for example in examples:
        case = example.case
        last, unknown = len(case.truth) - 1, case.conditioning.mask[..., None]
        row = [
            (f"{case.task} {case.number}", case.reference),
            ("adjusted", np.where(unknown, np.uint8(255), case.conditioning.reference)),
            ("pose", case.conditioning.pose_frames(last, last + 1)[0]),
            ("truth", case.truth.frames[last]),
            *example.results.items(),
        ]
        rows.append(row)
    write_picture(path, contact_sheet(rows, height=examples[0].case.reference.shape[0]))


def _markdown_table(table: Table) -> list[str]:
    head = "| | " + " | ".join(heading for _, heading, _ in MEASURES.values()) + " |"
    rows = [
        f"| {name} | "
        + " | ".join(_with_error(row[each], decimals) for each, (_, _, decimals) in MEASURES.items())
        + " |"
        for name, row in table.items()
    ]
    return [head, "|---|" + "---:|" * len(MEASURES), *rows]


def _number(statistic: Statistic, decimals: int) -> str:
    return f"{statistic.mean:.{decimals}f}" if statistic.count else "-"


def _with_error(statistic: Statistic, decimals: int) -> str:
    if not statistic.count:
        return "–"
    error = "" if math.isnan(statistic.error) else f" ± {statistic.error:.{decimals}f}"
    return f"{statistic.mean:.{decimals}f}{error}"
