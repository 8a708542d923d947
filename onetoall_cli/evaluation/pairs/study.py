"""A blind study of two results: a page that asks which one is better, a sheet, the key, and the count of answers."""

import base64
import io
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.pairs.frechet import FEWEST, LEVEL, RESAMPLES
from onetoall_cli.evaluation.pairs.pairing import Pair
from onetoall_cli.evaluation.pairs.tables import shortened
from onetoall_cli.files import together, whole_file
from onetoall_cli.files.forms import Form, json_text, read_form
from onetoall_cli.media import Video, VideoWriter, contact_sheet, open_video, write_picture

ADVICE = "Give the key first, then the files that raters saved."
_SHEET_HEIGHT = 320  # pixels of a picture
_SIDES = ("a", "equal", "b")

Picture = NDArray[np.uint8]


class Sides(Form):
    """A clip of a study, and what its left side shows."""

    clip: str
    left: Literal["a", "b"]


class Key(Form):
    """The key of a study: what A and B are, and where they were shown, by the numbers of the pairs."""

    format: Literal["onetoall-study-key"]
    study: str
    question: str
    a: str
    b: str
    pairs: dict[str, Sides] = Field(min_length=1)


class Answer(Form):
    """What a rater said of a pair."""

    pair: str
    choice: Literal["left", "equal", "right"]


class Answers(Form):
    """What the page saves."""

    format: Literal["onetoall-study-answers"]
    study: str
    rater: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class StudyFiles:
    """Where a study is written: the page for raters, the sheet, and the key that they must not see."""

    page: Path
    sheet: Path
    key: Path

    @staticmethod
    def beside(page: Path) -> "StudyFiles":
        """`study.html` has `study.png` and `study-key.json` beside it."""
        return StudyFiles(page, page.with_suffix(".png"), page.with_name(f"{page.stem}-key.json"))


def write_study(files: StudyFiles, pairs: Sequence[Pair], question: str, names: tuple[str, str]) -> None:
    """Write page, sheet and key, all or none. Which side shows A is drawn anew for every pair.

    Args:
        files: Where to.
        pairs: For each clip the file of A (`result`) and of B (`truth`).
        question: That raters are asked.
        names: What A and B are, for the key.

    Raises:
        BadInput: A file cannot be read.
    """
    identity, key, shown, rows = secrets.token_hex(8), {}, [], []
    kinds = set()
    for number, pair in enumerate(pairs, 1):
        first: Literal["a", "b"] = "a" if secrets.randbelow(2) else "b"
        opened = [open_video(path) for path in (pair.result, pair.truth)]
        kinds |= {"pictures" if video.frames_estimate == 1 else "videos" for video in opened}
        left, right = opened if first == "a" else reversed(opened)
        key[str(number)] = Sides(clip=pair.name, left=first)
        rows.append([(f"{number} left", _middle(left)), ("right", _middle(right))])
        shown.append({"id": str(number), "left": _embedded(left), "right": _embedded(right)})
    if len(kinds) > 1:
        raise BadInput("Some results are videos and some are pictures.", "Make a study of each kind.")
    content = {"id": identity, "kind": kinds.pop(), "question": question, "pairs": shown}
    keeping = Key(format="onetoall-study-key", study=identity, question=question, a=names[0], b=names[1], pairs=key)
    with together():
        _write(files.page, _page(content))
        write_picture(files.sheet, contact_sheet(rows, _SHEET_HEIGHT))
        _write(files.key, json_text(keeping))


def _page(content: dict[str, Any]) -> str:
    template = resources.files("onetoall_cli.evaluation.pairs").joinpath("study.html").read_text(encoding="utf-8")
    return template.replace("STUDY", json.dumps(content).replace("<", "\\u003c"), 1)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _embedded(video: Video) -> str:
    """A picture or video inside the page itself, encoded in one way whatever it came from."""
    if video.frames_estimate == 1:
        stream = io.BytesIO()
        Image.fromarray(next(iter(video)).image).save(stream, "PNG")
        return _data("image/png", stream.getvalue())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, video.width, video.height, fps=video.fps) as writer:
            for frame in video:
                writer.write(frame.image)
        return _data("video/mp4", path.read_bytes())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _middle(video: Video) -> Picture:
    picture = None
    for number, frame in enumerate(video):
        picture = frame.image
        if number >= video.frames_estimate // 2:
            break
    assert picture is not None  # an opened video has a frame
    return picture


@dataclass(frozen=True)
class Tally:
    """How raters answered.

    Attributes:
        question: That they were asked.
        a, b: What A and B are.
        raters: Files of answers.
        shares: Share of the answers for "a", "equal" and "b", with the ends of its interval over clips; None without.
        clips: Per clip the number of answers for each.
    """

    question: str
    a: str
    b: str
    raters: int
    shares: dict[str, tuple[float, float | None, float | None]]
    clips: dict[str, dict[str, int]]


def tally(key_file: Path, answer_files: Sequence[Path]) -> Tally:
    """Count answers by the key. Intervals are bootstrap intervals over clips, whose raters stay together.

    Raises:
        BadInput: A file is no key or no answers, or belongs to another study, or answers a pair twice.
    """
    key = read_form(Key, key_file, advice=ADVICE)
    counts = {number: Counter[str]() for number in key.pairs}
    for file in answer_files:
        found = read_form(Answers, file, advice=ADVICE)
        if found.study != key.study:
            raise BadInput(f"{file} answers another study than {key_file} is the key of.", "Give the key that fits.")
        chosen = {answer.pair: answer.choice for answer in found.answers}
        if len(chosen) < len(found.answers) or not set(chosen) <= set(counts):
            raise BadInput(f"{file} holds answers that the page cannot have given.", "Leave it out.")
        for number, choice in chosen.items():
            counts[number][_meant(choice, key.pairs[number].left)] += 1
    table = np.array([[each[side] for side in _SIDES] for each in counts.values()], float)
    if not table.sum():
        raise BadInput("There are no answers.", "Give the files that raters saved.")
    clips = {key.pairs[number].clip: dict(each) for number, each in counts.items()}
    return Tally(key.question, key.a, key.b, len(answer_files), _shares(table), clips)


def _meant(choice: str, left: Literal["a", "b"]) -> str:
    if choice == "equal":
        return choice
    return left if choice == "left" else {"a": "b", "b": "a"}[left]


def _shares(table: NDArray[np.float64]) -> dict[str, tuple[float, float | None, float | None]]:
    """Of counts (clips, 3) the share of each column, and its interval over the clips that have answers.

    There is none for fewer than `FEWEST` of them.
    """
    share = table.sum(axis=0) / table.sum()
    table = table[table.sum(axis=1) > 0]
    if len(table) < FEWEST:
        return {side: (float(share[i]), None, None) for i, side in enumerate(_SIDES)}
    chosen = np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))
    drawn = table[chosen].sum(axis=1)
    low, high = np.quantile(drawn / drawn.sum(axis=1, keepdims=True), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return {side: (float(share[i]), float(low[i]), float(high[i])) for i, side in enumerate(_SIDES)}


def tally_as_text(counted: Tally) -> str:
    """The shares, and each clip."""
    names = {"a": f"A, {counted.a}", "equal": "no difference", "b": f"B, {counted.b}"}
    answers = sum(sum(each.values()) for each in counted.clips.values())
    lines = [f"{counted.question} {counted.raters} raters, {answers} answers, {len(counted.clips)} clips.", ""]
    for side, (share, low, high) in counted.shares.items():
        interval = "" if low is None or high is None else f"  ({low:.1%} to {high:.1%})"
        lines.append(f"{shortened(names[side], 40):40}{share:7.1%}{interval}")
    lines += ["", f"{'clip':32}{'A':>6}{'equal':>7}{'B':>6}"]
    for clip, each in counted.clips.items():
        lines.append(f"{shortened(clip, 31):32}{each.get('a', 0):>6}{each.get('equal', 0):>7}{each.get('b', 0):>6}")
    return "\n".join(lines)
