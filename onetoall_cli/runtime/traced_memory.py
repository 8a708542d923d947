"""Peak memory of torch code, found by running it on the meta device, where tensors have shapes but no contents."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of live storages that operations inside it allocate: `live` now, `peak` at most."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.live = 0
        self._guards: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        known = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in known and key not in self._guards:
                self.live += storage.nbytes()
                self._guards[key] = weakref.ref(storage, self._forget(key, storage.nbytes()))
        self.peak = max(self.peak, self.live)
        return result

    def _forget(self, key: int, size: int) -> Callable[[object], None]:
        def forget(_: object) -> None:
            self.live -= size
            del self._guards[key]

        return forget


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_iter(values) if isinstance(value, torch.Tensor)]


def traced_peak(work: Callable[[], object], *, gradients: bool = False) -> int:
    """Peak bytes of the tensors that `work` allocates; inputs and weights are not counted.

    Args:
        work: A function that computes on the meta device.
        gradients: Whether it keeps what a backward pass needs.
    """
    with torch.set_grad_enabled(gradients), LiveBytes() as live:
        work()
    return live.peak
