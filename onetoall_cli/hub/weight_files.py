"""The files of a set of weights in a folder, and a check that all are present; only an index is opened.

Pickled weights are refused, because they can run code; only safetensors are used.
"""

from pathlib import Path

from onetoall_cli.errors import ModelMissing
from onetoall_cli.files.weight_index import indexed_files
from onetoall_cli.hub.model_files import REPAIR_ADVICE, damaged_model

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up one set of weights, sorted; of a file itself.

    With an index (`*.safetensors.index.json`) these are the files that it names, else all `*.safetensors` at the
    folder's root. Released repositories have either form.

    Raises:
        ModelMissing: There are no weights, only pickled ones, or a file of the index is missing.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if not indexes:
        return _unindexed_files(folder)
    with damaged_model():
        names = {name for index in indexes for name in indexed_files(index, advice=REPAIR_ADVICE)}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder / name} is missing, and {indexes[0].name} needs it.", REPAIR_ADVICE)
    return [folder / name for name in sorted(names)]


def _unindexed_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if files:
        _check_shards_complete(files)
        return files
    if any(path.suffix in PICKLED for path in folder.glob("*")):
        raise ModelMissing(
            f"{folder} has only pickled weights ({', '.join(PICKLED)}), which can run code when opened.",
            "Convert them to safetensors, or use a repository that has them.",
        )
    raise ModelMissing(f"{folder} has no *.safetensors files.", REPAIR_ADVICE)


def _check_shards_complete(files: list[Path]) -> None:
    """Check that all shards (`x-00001-of-00003.safetensors`) are present, where no index lists them."""
    for file in files:
        parts = file.stem.rsplit("-", 3)
        if len(parts) != 4 or parts[2] != "of" or not (parts[1].isdigit() and parts[3].isdigit()):
            continue
        for number in range(1, int(parts[3]) + 1):
            shard = file.with_name(f"{parts[0]}-{number:0{len(parts[1])}d}-of-{parts[3]}.safetensors")
            if not shard.exists():
                raise ModelMissing(f"{shard} is missing.", REPAIR_ADVICE)
