"""Reads TensorFlow Lite's network files: tensors, constants and operators. Needs NumPy alone.

A `.tflite` file is a FlatBuffer; numbers of fields are those of TensorFlow's `schema.fbs` (version 3).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}  # TensorType
_INDEX_TYPES = {1: np.int32, 2: np.uint16, 3: np.uint8}  # SparseIndexVector


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph; `value` if it is a constant."""

    shape: tuple[int, ...]
    value: NDArray | None


@dataclass(frozen=True)
class Operator:
    """One step of the graph: its kind (`BuiltinOperator`), its tensors by number (-1: left out), and its options."""

    kind: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: "Table | None"


@dataclass(frozen=True)
class Network:
    """The one graph of a file."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_network(path: Path) -> Network:
    """The network of a file."""
    data = path.read_bytes()
    model = Table(data, struct.unpack_from("<I", data)[0])
    (graph,) = model.tables(2)
    buffers = model.tables(4)
    kinds = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    return Network(
        [_tensor(each, buffers) for each in graph.tables(0)],
        [
            Operator(kinds[each.number(0, "I")], each.integers(1), each.integers(2), each.table(4))
            for each in graph.tables(3)
        ],
        graph.integers(1),
        graph.integers(2),
    )


class Table:
    """A table of a FlatBuffer: fields by number, absent ones at their default."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start = data, start
        self._fields = start - struct.unpack_from("<i", data, start)[0]
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A scalar; `kind` is its letter in `struct`."""
        place = self._place(field)
        return default if place is None else int(struct.unpack_from("<" + kind, self._data, place)[0])

    def table(self, field: int) -> "Table | None":
        place = self._place(field)
        return None if place is None else Table(self._data, self._target(place))

    def tables(self, field: int) -> list["Table"]:
        start, count = self._vector(field)
        return [Table(self._data, self._target(start + 4 * i)) for i in range(count)]

    def integers(self, field: int) -> tuple[int, ...]:
        start, count = self._vector(field)
        return struct.unpack_from(f"<{count}i", self._data, start)

    def array(self, field: int, kind: type) -> NDArray:
        start, count = self._vector(field)
        return np.frombuffer(self._data, kind, count, start)

    def octets(self, field: int) -> bytes:
        start, count = self._vector(field)
        return self._data[start : start + count]

    def _place(self, field: int) -> int | None:
        """Where a field's value is."""
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self._data, self._fields + entry)[0] if entry < self._size else 0
        return self._start + offset if offset else None

    def _target(self, place: int) -> int:
        return place + struct.unpack_from("<I", self._data, place)[0]

    def _vector(self, field: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = self._target(place)
        return start + 4, struct.unpack_from("<I", self._data, start)[0]


def _tensor(tensor: Table, buffers: list[Table]) -> Tensor:
    shape = tensor.integers(0)
    content = buffers[tensor.number(2, "I")].octets(0)
    if not content:
        return Tensor(shape, None)
    values = np.frombuffer(content, _TYPES[tensor.number(1, "b")])
    sparsity = tensor.table(6)
    return Tensor(shape, values.reshape(shape) if sparsity is None else _dense(values, shape, sparsity))


def _dense(values: NDArray, shape: tuple[int, ...], sparsity: Table) -> NDArray:
    """A matrix (or stack of them) whose rows hold only their non-zero values, in full: compressed sparse rows."""
    *rows, columns = sparsity.tables(2)
    if any(each.number(0, "b") for each in rows) or not columns.number(0, "b") or sparsity.integers(1):
        raise ValueError("Only tensors whose last axis alone is sparse can be read.")
    ends, places = (
        columns.table(value).array(0, _INDEX_TYPES[columns.number(kind, "B")])  # type: ignore[union-attr]
        for kind, value in ((2, 3), (4, 5))
    )
    dense = np.zeros((len(ends) - 1, shape[-1]), values.dtype)
    dense[np.repeat(np.arange(len(dense)), np.diff(ends.astype(int))), places] = values
    return dense.reshape(shape)
