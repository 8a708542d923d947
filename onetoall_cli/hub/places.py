"""Where things are kept: the Hugging Face cache for downloads, this user's own folders for what onetoall adds.

Downloads live in the ordinary hub cache (`HF_HOME`, `HF_HUB_CACHE`), shared with every other program. Own data
(index, prompt embeddings, quantised copies) and the user's catalogue live under `platformdirs`.
"""

import hashlib
from pathlib import Path

import platformdirs

APP = "onetoall"


def data_folder() -> Path:
    """This user's data folder of onetoall; it may not exist yet."""
    return platformdirs.user_data_path(APP, appauthor=False)


def config_folder() -> Path:
    """This user's configuration folder of onetoall; it may not exist yet."""
    return platformdirs.user_config_path(APP, appauthor=False)


def index_file() -> Path:
    """The record of what `fetch` installed, from which commit, with which hashes."""
    return data_folder() / "index.json"


def user_catalogue() -> Path:
    """The user's own models, in the format of the package's `catalogue.yaml`."""
    return config_folder() / "catalogue.yaml"


def copy_folder(name: str) -> Path:
    """A quantised copy of a network, by its name (`14b-nf4`)."""
    return data_folder() / "converted" / name


def hub_cache() -> Path:
    """The Hugging Face cache, wherever the environment puts it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repository: str) -> Path:
    """A repository's folder in the hub cache: `blobs/`, `refs/` and `snapshots/` (a documented layout)."""
    return hub_cache() / ("models--" + repository.replace("/", "--"))


def snapshot_folder(repository: str, commit: str) -> Path:
    """The files of one commit, as in the repository."""
    return repository_folder(repository) / "snapshots" / commit


def prompt_store_folder(encoder: str) -> Path:
    """The prompt stores of a text encoder (`OWNER/REPO`, `OWNER/REPO@commit` or `local-...`): one file a revision."""
    return data_folder() / "prompt-embeds" / encoder.partition("@")[0].replace("/", "--")


def prompt_store(encoder: str) -> Path:
    """The prompt store of exactly this revision of a text encoder (`OWNER/REPO@commit`)."""
    return prompt_store_folder(encoder) / f"{encoder.partition('@')[2] or 'any'}.safetensors"


def supplied_prompts() -> Path:
    """Imported embeddings whose encoder is not recorded: looked at for every model."""
    return data_folder() / "prompt-embeds" / "supplied.safetensors"


def local_encoder_name(folder: Path) -> str:
    """A name for a text encoder that is just a folder, changing when its files change."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    described = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return "local-" + hashlib.sha256("\n".join([str(folder.resolve()), *described]).encode()).hexdigest()[:16]
