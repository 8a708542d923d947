"""How the package's rooms may use each other: arrows point one way, and nothing goes in a circle, lazy imports too."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "onetoall_cli"

# From top to bottom; rooms of one line do not know each other. The manual "Contributing" shows the same order.
ORDER = (
    ("__init__", "__main__"),
    ("cli",),
    ("doctor",),
    ("training", "bench", "batch"),
    ("evaluation",),
    ("animator",),
    ("sampling", "scene"),
    ("alignment", "puppets"),
    ("pose", "media", "weights"),
    ("hub", "runtime"),
    ("model",),
    ("files",),
    ("errors", "lattice", "lazy_names", "precisions", "stopping"),
    ("display_text",),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def modules() -> dict[str, Path]:
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path, known: set[str], *, at_run_time: bool = False) -> set[str]:
    """The package's modules that a file imports, wherever in it; with `at_run_time` not those for type checkers."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if at_run_time and id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("onetoall_cli"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room_of(name) for name in modules()} - {"assets"} == set(RANK)


def test_arrows_between_rooms_point_down() -> None:
    known = modules()
    wrong = [
        f"{name} imports {other}"
        for name, path in known.items()
        for other in imported(path, set(known))
        if room_of(other) not in (room_of(name), "__init__") and RANK[room_of(name)] >= RANK[room_of(other)]
    ]
    assert wrong == []


def test_modules_import_each_other_in_no_circle() -> None:
    known = modules()
    arrows = {name: imported(path, set(known), at_run_time=True) - {name} for name, path in known.items()}
    arrows = {name: {other for other in others if other != "onetoall_cli"} for name, others in arrows.items()}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        state[name] = 1
        for other in sorted(arrows[name]):
            if state.get(other) == 1:
                circle = " -> ".join((*trail[trail.index(other) :], other) if other in trail else (*trail, other))
                pytest.fail(f"a circle of imports: {circle}")
            if other not in state:
                visit(other, (*trail, other))
        state[name] = 2

    for name in sorted(known):
        if name not in state:
            visit(name, (name,))


def test_the_hub_never_imports_torch() -> None:
    for path in (PACKAGE / "hub").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not any(name.split(".")[0] == "torch" for name in names), path


def test_only_the_command_line_prints() -> None:
    """Modules that are started by themselves (`python -m`) print too."""
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"]
        started = 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
        assert not calls or started or room_of(name) == "cli", name
