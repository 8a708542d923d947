"""Single files of installed entries, for parts of onetoall that are not networks: the pose detectors' ONNX models."""

from pathlib import Path

from onetoall_cli.hub.catalogue import load_catalogue
from onetoall_cli.hub.index import installed


def component_path(name: str) -> Path | None:
    """An installed detector's ONNX file.

    Args:
        name: The file's name as published, with or without `.onnx`: `yolov10m`, `vitpose_h_wholebody`, `yolox_l`,
            `dw-ll_ucoco_384`. Where a repository has a folder of that name, its `end2end.onnx` is meant.

    Returns:
        The file, with its external weight files beside it; None if the entry is not installed or not whole.
    """
    wanted = f"{name.removesuffix('.onnx')}.onnx"
    catalogue = load_catalogue()
    for known in installed().values():
        entry = catalogue.entries.get(known.name)
        if entry is None or entry.kind != "detector" or known.missing():
            continue
        for file in known.files:
            parts = file.path.split("/")
            if parts[-1] == wanted or parts[-2:] == [wanted, "end2end.onnx"]:
                return known.folder / file.path
    return None
