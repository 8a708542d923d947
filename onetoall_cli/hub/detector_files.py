"""The files of installed pose detectors (ONNX models)."""

from pathlib import Path

from onetoall_cli.hub.catalogue import load_catalogue
from onetoall_cli.hub.index import installed


def component_path(name: str) -> Path | None:
    """The ONNX file of an installed detector.

    Args:
        name: The file's name as published, with or without `.onnx`: `yolov10m`, `vitpose_h_wholebody`, `yolox_l`,
            `dw-ll_ucoco_384`. In a folder of that name it is `end2end.onnx`.

    Returns:
        The file, with its external weight files beside it; None if the entry is not installed or incomplete.
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
