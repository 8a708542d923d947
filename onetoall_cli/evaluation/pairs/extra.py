"""The packages of the extra `evaluate`, which only some metrics need."""

from importlib.util import find_spec
from pathlib import Path

from onetoall_cli.errors import BadInput


def package_folder(name: str) -> Path:
    """Where a package of the extra is installed, without importing it.

    Raises:
        BadInput: It is not installed.
    """
    found = find_spec(name)
    if found is None or found.origin is None:
        raise BadInput(f"This metric needs the package {name}.", "Run `pip install scikit-image torchmetrics`.")
    return Path(found.origin).parent
