"""One docstring style: what stands under Args, Attributes, Raises, Returns and Yields begins with a capital and ends
with a full stop."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import onetoall_cli

PACKAGE = Path(onetoall_cli.__file__).parent
SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):(.*)\n((?: {4}.*\n|\n)*)", re.MULTILINE)
INDENTED = re.compile(r"^ +(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
SENTENCE = re.compile(r"""[A-Z0-9`"'(\[].*\.""")


def modules() -> list[str]:
    names = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return sorted(names)


def docstrings(node: ast.AST, name: str = "") -> Iterator[tuple[str, str]]:
    """The names and docstrings of a module and of everything public in it."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield name or "module", ast.get_docstring(node) or ""
        for child in node.body:
            own = getattr(child, "name", "_")
            if own == "__init__" or not own.startswith("_"):
                yield from docstrings(child, f"{name}.{own}".lstrip("."))


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """The entries of a docstring's sections as (name, text); the text is empty if an entry has another form."""
    for title, beside, body in SECTION.findall(f"{docstring}\n"):
        if beside:
            yield title, ""
        elif title in ("Returns", "Yields"):
            yield title, " ".join(body.split())
        else:
            for entry in re.split(r"\n(?=\S)", textwrap.dedent(body).strip()):
                names, _, text = entry.partition(": ")
                yield names, " ".join(text.split())


def faults(docstring: str) -> list[str]:
    indented = [f"{title} is indented" for title in INDENTED.findall(docstring)]
    return indented + [f"{name}: {text}" for name, text in entries(docstring) if not SENTENCE.fullmatch(text)]


@pytest.mark.parametrize("module", modules())
def test_entries_begin_with_a_capital_and_end_with_a_full_stop(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    assert not [f"{name}: {fault}" for name, text in docstrings(tree) for fault in faults(text)]


def test_other_entries_are_found() -> None:
    assert faults("Do it.\n\nArgs:\n    a: The first.\n    b, c: others.\n    d: No stop\n\nReturns:\n    Pixels.") == [
        "b, c: others.",
        "d: No stop",
    ]
    assert faults("Args: a: The first.\n\nRaises:\n    When it fails.") == ["Args: ", "When it fails.: "]
    assert faults("Do it.\n\nArgs:\n    a: The first.\n\n    Returns:\n        Pixels.")[0] == "Returns is indented"
