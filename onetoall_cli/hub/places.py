"""The folders of onetoall: the Hugging Face cache for downloads, and the user's own folders for everything else.

Downloads are in the usual hub cache (`HF_HOME`, `HF_HUB_CACHE`), which other programs share. onetoall's own data
(index, prompt embeddings, quantised copies) and the user's catalogue are in the folders of `platformdirs`.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs

from onetoall_cli.errors import BadInput

APP = "onetoall"

# How repositories are named, as the hub allows: no dot or hyphen at an end, and none twice in a row.
_NAME = r"[A-Za-z0-9_](([.-]|\.-|-\.)?[A-Za-z0-9_]){0,95}"
REPOSITORY = f"^(datasets/)?{_NAME}/{_NAME}$"


def data_folder() -> Path:
    """The user's data folder of onetoall; it may not exist yet."""
    return _own_folder(platformdirs.user_data_path, "data")


def config_folder() -> Path:
    """The user's configuration folder of onetoall; it may not exist yet."""
    return _own_folder(platformdirs.user_config_path, "config")


def _own_folder(find: Callable[..., Path], kind: str) -> Path:
    try:
        return find(APP, appauthor=False)
    except RuntimeError:  # a user without a home; older platformdirs leave the ~ themselves
        return Path("~", kind, APP)


def check_home(path: Path) -> None:
    """Refuse to write where nothing can be, because nobody knows of a home.

    Raises:
        BadInput: `path` lies in a home that is not known.
    """
    if path.parts[0] == "~":
        raise BadInput("There is no home folder to keep anything in.", "Set HOME, or XDG_DATA_HOME and HF_HOME.")


def cache_folder() -> Path:
    """The user's folder for what can be made again; it may not exist yet."""
    return platformdirs.user_cache_path(APP, appauthor=False)


def index_file() -> Path:
    """The index of installed entries (see `index`)."""
    return data_folder() / "index.json"


def user_catalogue() -> Path:
    """The user's own models, in the format of the package's `catalogue.yaml`."""
    return config_folder() / "catalogue.yaml"


def copy_folder(name: str) -> Path:
    """The folder of a quantised copy, by its name (`14b-nf4`)."""
    return data_folder() / "quantised" / name


def derived_folder(name: str) -> Path:
    """The folder of what was made of an entry's files, to be made again from them; it goes with the entry."""
    return data_folder() / "derived" / name


def hub_cache() -> Path:
    """The Hugging Face cache, as the environment sets it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def split_repository(repository: str) -> tuple[str, str]:
    """`OWNER/REPO` or `datasets/OWNER/REPO` as (`OWNER/REPO`, `model` or `dataset`), as huggingface_hub asks for it."""
    owned = repository.removeprefix("datasets/")
    return owned, "model" if owned == repository else "dataset"


def is_repository(name: str) -> bool:
    """Whether `name` can be that of a repository: `OWNER/REPO` or `datasets/OWNER/REPO`."""
    return re.fullmatch(REPOSITORY, name) is not None


def repository_folder(repository: str) -> Path:
    """A repository's folder in the hub cache: `blobs/`, `refs/` and `snapshots/` (a documented layout)."""
    owned, kind = split_repository(repository)
    return hub_cache() / f"{kind}s--{owned.replace('/', '--')}"


def snapshot_folder(repository: str, commit: str) -> Path:
    """The folder of one commit, with the files as in the repository."""
    return repository_folder(repository) / "snapshots" / commit


def revision_file(repository: str, revision: str) -> Path:
    """The file that holds the commit of a branch or tag; its folder is made."""
    path = repository_folder(repository) / "refs" / revision
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def prompt_store_folder(encoder: str) -> Path:
    """The folder of a text encoder's prompt stores, one file for each revision.

    Args:
        encoder: `OWNER/REPO`, `OWNER/REPO@commit` or `local-...`.
    """
    return data_folder() / "prompt-embeds" / encoder.partition("@")[0].replace("/", "--")


def prompt_store(encoder: str) -> Path:
    """The prompt store of exactly this revision of a text encoder (`OWNER/REPO@commit`)."""
    return prompt_store_folder(encoder) / f"{encoder.partition('@')[2] or 'any'}.safetensors"


def supplied_prompts() -> Path:
    """The store of imported embeddings without a recorded encoder, which serves every model."""
    return data_folder() / "prompt-embeds" / "supplied.safetensors"


def local_encoder_name(folder: Path) -> str:
    """A name for a text encoder in a folder; it changes when the files change."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    described = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return "local-" + hashlib.sha256("\n".join([str(folder.resolve()), *described]).encode()).hexdigest()[:16]
