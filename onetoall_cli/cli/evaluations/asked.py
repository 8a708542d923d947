"""The options of `onetoall evaluate` in groups, which kind of evaluation takes which, and `Asked`: all of a call."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from typer import Option

from onetoall_cli.cli.options import DetectorName, Device, NumberFormat
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.table_files import check_marks
from onetoall_cli.files import Output


@dataclass(frozen=True)
class KindOptions:
    """What is evaluated; one of these, or models on puppets."""

    HEADING: ClassVar[str] = "What is evaluated (models on puppets if none is given)"

    pairs: Annotated[bool, Option("--pairs", help="Files: RESULTS TRUTH, or a CSV file of pairs.")] = False
    against: Annotated[bool, Option("--against", help="Two results, A B; with --inputs, two models or settings.")] = (
        False
    )
    benchmark: Annotated[
        Literal["puppets", "tiktok", "cartoon", "deepfashion", "deepfashion-large"] | None,
        Option(help="Models on a published test set, or on puppets."),
    ] = None
    answers: Annotated[bool, Option("--answers", help="A study's answers: KEY ANSWERS...")] = False


@dataclass(frozen=True)
class MeasureOptions:
    """How results are measured."""

    HEADING: ClassVar[str] = "Measuring"

    metrics: Annotated[
        str | None, Option(metavar="A,B,...", help="psnr, ssim, lpips, ...; default: all that can be had.")
    ] = None
    protocol: Annotated[
        Literal["default", "disco", "cfld"],
        Option(help="How exactly; disco: the paper's videos, cfld: DeepFashion's tables."),
    ] = "default"
    pictures: Annotated[bool, Option("--pictures", help="Folders hold single pictures, not a clip's frames.")] = False
    detector: DetectorName = "auto"
    device: Device = "auto"


@dataclass(frozen=True)
class AgainstOptions:
    """Two results, models or settings."""

    HEADING: ClassVar[str] = "With --against"

    inputs: Annotated[
        bool,
        Option("--inputs", help="A and B are models with options; REF DANCE, two folders or a manifest follow."),
    ] = False
    truth: Annotated[
        Path | None, Option(metavar="PATH", help="The truth of both; without, B is measured against A.")
    ] = None
    study: Annotated[
        Path | None, Option(metavar="HTML", help="Write a page for a blind study, a sheet, and the key.")
    ] = None
    question: Annotated[str, Option(metavar="TEXT", help="What the study asks.")] = "Which one is better?"


@dataclass(frozen=True)
class BenchmarkOptions:
    """A published test set."""

    HEADING: ClassVar[str] = "With --benchmark"

    data: Annotated[
        Path | None, Option(metavar="DIR", help="The set's folder; default: it is fetched, where it can be.")
    ] = None
    variants: Annotated[
        bool, Option("--variants", help="Also without token replace, without pose guidance, and with a full face.")
    ] = False


@dataclass(frozen=True)
class PuppetOptions:
    """How much is measured on puppets, and with which settings."""

    HEADING: ClassVar[str] = "Puppets"

    count: Annotated[int, Option(min=1, metavar="N", help="Puppets a task.")] = 64
    task: Annotated[Literal["all", "aligned", "misaligned", "transfer"], Option(help="What is measured.")] = "all"
    borders: Annotated[
        int | None,
        Option(min=0, metavar="N", help="Puppets for the segment borders; default: a quarter of them; 0: none."),
    ] = None
    expressions: Annotated[
        int, Option(min=0, metavar="N", help="Puppets for how much of the driver's expression arrives.")
    ] = 0
    split: Annotated[
        Literal["test", "validation"], Option(help="validation: to choose settings by, so that test stays unseen.")
    ] = "test"
    frames: Annotated[int, Option(min=9, metavar="N", help="Frames of an animation, 4k+1.")] = 13
    seed: Annotated[int, Option(min=0, metavar="N", help="Of the noise.")] = 0
    steps: Annotated[int | None, Option(min=1, metavar="N", help="Denoising steps; default: the model's.")] = None
    ref_guidance: Annotated[
        float | None, Option(min=0, metavar="SCALE", help="Reference guidance; default: the model's.")
    ] = None
    pose_guidance: Annotated[
        float | None, Option(min=0, metavar="SCALE", help="Pose guidance; default: the model's.")
    ] = None
    dtype: NumberFormat = "auto"


@dataclass(frozen=True)
class WrittenOptions:
    """What is written beside the table."""

    HEADING: ClassVar[str] = "Also written"

    output: Annotated[
        Path | None,
        Option("--output", "-o", metavar="DIR", help="Where results that are made go, and stay."),
    ] = None
    markdown: Annotated[Path | None, Option(metavar="FILE", help="The tables, between the marks of a model card.")] = (
        None
    )
    csv: Annotated[Path | None, Option(metavar="FILE", help="A line a clip; of puppets, a measure.")] = None
    sheet: Annotated[
        Path | None, Option(metavar="FILE", help="A picture of the worst frames; of puppets, of examples.")
    ] = None
    examples: Annotated[int, Option(min=1, metavar="N", help="Puppets a task on the sheet.")] = 4
    plot: Annotated[Path | None, Option(metavar="FILE", help="Each metric over time.")] = None


_MEASURING = {"metrics", "protocol", "pictures", "detector", "device"}
# The options that each kind of evaluation takes.
_TAKES = {
    "puppets": {*(each.name for each in fields(PuppetOptions)), "device", "markdown", "csv", "sheet", "examples"},
    "benchmark": {"data", "variants", "metrics", "device", "output", "markdown", "csv"},
    "pairs": {*_MEASURING, "markdown", "csv", "sheet", "plot"},
    "against": {*_MEASURING, "inputs", "truth", "study", "question", "output", "markdown"},
    "answers": set[str](),
}
# Options that change no figure, so that the command under a table does without them.
_UNSAID = {"markdown", "csv", "sheet", "examples", "plot", "study", "question", "output"}


@dataclass(frozen=True)
class Asked:
    """One call of `onetoall evaluate`: its arguments, and its options in groups."""

    subjects: list[str]
    report: Report
    kind: KindOptions = field(default_factory=KindOptions)
    measuring: MeasureOptions = field(default_factory=MeasureOptions)
    against: AgainstOptions = field(default_factory=AgainstOptions)
    benchmark: BenchmarkOptions = field(default_factory=BenchmarkOptions)
    puppets: PuppetOptions = field(default_factory=PuppetOptions)
    written: WrittenOptions = field(default_factory=WrittenOptions)

    @property
    def what(self) -> str:
        """The kind of evaluation, a key of `_TAKES`.

        Raises:
            BadInput: Several were asked for.
        """
        chosen = [name for name, _ in _given(self.kind)]
        if len(chosen) > 1:
            raise BadInput(f"--{chosen[0]} and --{chosen[1]} do not go together.", "Choose one.")
        return "puppets" if not chosen or self.kind.benchmark == "puppets" else chosen[0]

    @property
    def model_defaults(self) -> dict[str, Any]:
        """Options for models that make something, where neither they nor a manifest say otherwise."""
        return {} if self.measuring.device == "auto" else {"device": self.measuring.device}

    def check_options(self) -> None:
        """Refuse options of another kind of evaluation, instead of ignoring them.

        Raises:
            BadInput: There is one.
        """
        for name, _ in self._options():
            if name not in _TAKES[self.what]:
                what = "an evaluation on puppets" if self.what == "puppets" else f"--{self.what}"
                raise BadInput(
                    f"--{name.replace('_', '-')} does not go with {what}.",
                    "Leave it out; see `onetoall evaluate --help`.",
                )

    def command(self) -> str:
        """The command line that measures the same again, without what is at its default."""
        words = ["onetoall", "evaluate"]
        for name, value in _given(self.kind):
            words += [f"--{name}", *([] if value is True else [str(value)])]
        words += self.subjects
        for name, value in self._options():
            if name not in _UNSAID:
                words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join(words)

    def check_written(self, more: list[Output | None], inputs: list[Path]) -> None:
        """Check before any work that what is to be written beside the result can be.

        Args:
            more: Outputs of this kind of evaluation alone.
            inputs: Files that are read.

        Raises:
            BadInput, OutOfResources: As `check_targets`; or the Markdown file has no marks.
        """
        from onetoall_cli.media import PICTURE_ENDINGS

        written = self.written
        outputs = [
            Output(written.markdown, option="--markdown") if written.markdown else None,
            Output(written.csv, (".csv",), option="--csv") if written.csv else None,
            Output(written.sheet, PICTURE_ENDINGS, option="--sheet") if written.sheet else None,
            Output(written.plot, PICTURE_ENDINGS, option="--plot") if written.plot else None,
        ]
        check_targets([*outputs, *more], inputs=inputs, overwrite=True)
        if written.markdown:
            check_marks(written.markdown)

    def _options(self) -> Iterator[tuple[str, Any]]:
        for group in (self.measuring, self.against, self.benchmark, self.puppets, self.written):
            yield from _given(group)


def _given(group: Any) -> Iterator[tuple[str, Any]]:
    """The options of a group that are not at their defaults."""
    for each in fields(group):
        if getattr(group, each.name) != each.default:
            yield each.name, getattr(group, each.name)
