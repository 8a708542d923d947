"""`report.html`: what a batch made, to look at. One file, which needs no server; videos are played from beside it."""

import base64
import io
import json
import os
import shlex
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onetoall_cli.batch.journal import Done, Failed
from onetoall_cli.batch.tasks import Task
from onetoall_cli.errors import OnetoallError
from onetoall_cli.files import whole_file
from onetoall_cli.files.names import PICTURE_SUFFIXES
from onetoall_cli.media import open_video, read_picture

if TYPE_CHECKING:
    from onetoall_cli.batch.running import Batch

POSTER_HEIGHT = 160  # pixels
_TEMPLATE = Path(__file__).with_name("page.html")
_PLACE = "/*JOBS*/"


def write_page(path: Path, batch: "Batch") -> None:
    """Write the page as things stand."""
    rows = [_row(task, batch.state(task), batch.journal.last.get(task.key), path.parent) for task in batch.tasks]
    data = json.dumps({"jobs": rows}, ensure_ascii=False).replace("<", "\\u003c")  # nothing in it ends the script
    with whole_file(path) as unfinished:
        unfinished.write_text(_TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, data, 1), encoding="utf-8")


def _row(task: Task, state: str, event: Done | Failed | None, folder: Path) -> dict[str, Any]:
    """What the page says of a task."""
    inputs = {role: _shown(role, path, folder) for role, path in task.job.inputs.items()}
    row = {
        "state": state,
        "command": task.job.command,
        "output": _shown("output", task.output, folder),
        "inputs": inputs,
        "seed": task.job.settings.generation.seed,
        "again": shlex.join(["onetoall", *task.arguments]),
    }
    if state == "done" and isinstance(event, Done):
        fields = event.model_dump(include={"seconds", "frames", "duration", "width", "height", "mode", "why", "scale"})
        row |= {**fields, "poster": event.poster}
    if state == "failed" and isinstance(event, Failed):
        row |= {"seconds": event.seconds, "error": event.error, "advice": event.advice}
    return row


def _shown(role: str, path: Path, folder: Path) -> dict[str, str]:
    """A file by its name, where the page finds it, how it is shown, and as a small picture if it is an input."""
    is_video = path.suffix.lower() in (".mp4", ".webm", ".mov", ".m4v", ".mkv")
    place = quote(os.path.relpath(path, folder).replace(os.sep, "/"))
    poster = "" if role == "output" or not path.is_file() else _poster_of_input(path, path.stat().st_mtime_ns)
    return {"name": path.name, "place": place, "kind": "video" if is_video else "other", "poster": poster}


@lru_cache(maxsize=4096)
def _poster_of_input(path: Path, changed: int) -> str:
    if path.suffix.lower() == ".json":
        return ""
    return picture_poster(path) if path.suffix.lower() in PICTURE_SUFFIXES else video_poster(path)


def picture_poster(path: Path) -> str:
    """A small copy of a picture as a data URL; "" where it cannot be read."""
    return _poster(lambda: read_picture(path))


def video_poster(path: Path) -> str:
    """A small picture of a video's middle as a data URL; "" where it cannot be read."""
    return _poster(lambda: next(iter(open_video(path, start=open_video(path).duration / 2))).image)


def _poster(read: Callable[[], NDArray[np.uint8]]) -> str:
    try:
        picture = Image.fromarray(read())
    except (OnetoallError, StopIteration):
        return ""
    picture.thumbnail((4 * POSTER_HEIGHT, POSTER_HEIGHT))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
