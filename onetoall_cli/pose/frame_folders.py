"""Folders of OpenPose files, one a frame: their frames in order."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onetoall_cli.files.contents import check_whole
from onetoall_cli.files.names import PICTURE_SUFFIXES, natural_order
from onetoall_cli.files.streams import input_ending
from onetoall_cli.pose.file_errors import FORMATS_ADVICE, fault

POSE_SUFFIXES = (".json", ".npz", ".npy")

_log = logging.getLogger(__name__)


def is_pose_file(path: Path) -> bool:
    """Whether `path` is read as poses, and not as pictures or a video: going by its name, a folder by what is in it.

    A folder holds poses if it has JSON files and no pictures, or at least as many of them as pictures (OpenPose
    writes a drawing beside each). One JSON file beside pictures is about the pictures.
    """
    if not path.is_dir():
        return input_ending(path) in POSE_SUFFIXES
    suffixes = [each.suffix.lower() for each in path.iterdir() if not each.name.startswith(".")]
    poses, pictures = suffixes.count(".json"), sum(suffix in PICTURE_SUFFIXES for suffix in suffixes)
    return poses > (1 if pictures else 0) and poses >= pictures


def folder_frames(folder: Path, read_json: Callable[[Path], Any]) -> list[tuple[str, Any]]:
    """The frames of a folder of OpenPose files, each with its file's name, in the natural order of the names.

    Hidden files (macOS puts `._NAME.json` beside every NAME.json in archives) are no frames; other JSON is left out
    with a warning.

    Raises:
        BadInput: There is no frame.
    """
    check_whole(folder)
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".json" and not file.name.startswith(".")]
    if not files:
        fault(str(folder), "the folder holds no .json files", FORMATS_ADVICE)
    contents = [(file, _without_list(read_json(file))) for file in sorted(files, key=natural_order)]
    frames = [(str(file), content) for file, content in contents if _is_frame(content)]
    others = [file.name for file, content in contents if not _is_frame(content)]
    if not frames:
        fault(str(folder), f"none of its .json files is an OpenPose frame (first: {others[0]})", FORMATS_ADVICE)
    if others:
        _log.warning(
            "%s: left out, as no OpenPose frame: %s", folder, ", ".join(others[:3]) + " ..." * (len(others) > 3)
        )
    return frames


def _without_list(content: Any) -> Any:
    """A frame alone, where it is the only one of a ComfyUI list."""
    return content[0] if isinstance(content, list) and len(content) == 1 else content


def _is_frame(content: Any) -> bool:
    return isinstance(content, dict) and ("people" in content or "animals" in content)
