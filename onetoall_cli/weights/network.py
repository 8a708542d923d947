"""The network without weights, from a folder's configuration or from given arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.hub.model_files import CONFIG, NetworkConfig, read_model_file

if TYPE_CHECKING:
    from onetoall_cli.model import OneToAllTransformer3DModel


def empty_network(folder: Path, config: Mapping[str, Any] | None) -> "OneToAllTransformer3DModel":
    """The network on the meta device: structure and shapes without memory.

    Args:
        folder: A folder in diffusers' layout, read if `config` is None.
        config: Constructor arguments.

    Raises:
        ModelMissing: The folder's `config.json` is damaged or of another network.
    """
    import torch

    from onetoall_cli.model import OneToAllTransformer3DModel

    arguments = read_model_file(NetworkConfig, folder / CONFIG).arguments() if config is None else config
    with torch.device("meta"):
        return OneToAllTransformer3DModel(**arguments)
