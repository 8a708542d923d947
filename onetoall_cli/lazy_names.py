"""Names of a package that load when they are first used, so that importing the package is free."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package.

    Args:
        package: Its `__name__`.
        homes: For each name the module it comes from, below the top package: {"Result": "animator.results"}.
    """
    top = package.partition(".")[0]

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{top}.{homes[name]}"), name)

    return find, lambda: sorted(homes)
