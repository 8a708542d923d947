"""The manuals as data: their code blocks with the marks above them, their commands, inline code, links and headings.

A block of `sh`, `console` or `python` has a mark on the line above it (other comments may stand between):

    <!-- run -->                        a test runs it, on small stand-ins
    <!-- run, slow -->                  likewise, but not in CI
    <!-- run with tiny for 1.3b -->     likewise, with one word in the place of another
    <!-- run by tests/... -->           that test does already
    <!-- not run: why -->               nobody does; its commands must still be such as the command line takes
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Model cards (`assets/*/README.md`) are data sheets that go with the weights.
MANUALS = [ROOT / "README.md", *sorted((ROOT / "onetoall_cli").glob("*/README.md")), ROOT / "tests" / "README.md"]
MARKED_LANGUAGES = ("sh", "console", "python")

_FENCE = re.compile(r"^```(\w*)$")
_COMMENT = re.compile(r"^<!-- (.+) -->$")
_MARK = re.compile(
    r"run(?P<slow>, slow)?(?: with (?P<new>\S+) for (?P<old>\S+))?|run by (?P<test>\S+)|not run: (?P<reason>.+)"
)
_PROMPT = re.compile(r"^\w*\$ +")
_ASSIGNMENT = re.compile(r"^\w+=")
_REDIRECTIONS = (">", "2>")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its manual, the line of its fence, its language, what the comments above it say, its text."""

    manual: Path
    line: int
    language: str
    comments: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        return f"{name_of(self.manual)}:{self.line}"

    @property
    def mark(self) -> re.Match[str] | None:
        """The mark, if there is exactly one."""
        found = [match for match in map(_MARK.fullmatch, self.comments) if match]
        return found[0] if len(found) == 1 else None

    def is_run(self, *, slow: bool) -> bool:
        """Whether the test of the quick (or of the slow) blocks runs it."""
        mark = self.mark
        return mark is not None and not (mark["test"] or mark["reason"]) and bool(mark["slow"]) == slow

    def text_to_run(self) -> str:
        """The text with the mark's words exchanged."""
        mark = self.mark
        return self.text.replace(mark["old"], mark["new"]) if mark and mark["old"] else self.text

    def commands(self) -> list["Command"]:
        """The command lines of a `sh` or `console` block; in the latter those behind a prompt, the rest is output."""
        lines = self.text_to_run().replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [_PROMPT.sub("", line) for line in lines if _PROMPT.match(line)]
        return [command_of(line) for line in lines if shlex.split(line, comments=True)]


@dataclass(frozen=True)
class Command:
    """A command line: its words, and the file that its output ("out") or its messages ("err") go to."""

    words: tuple[str, ...]
    file: str | None = None
    stream: str = "out"


def command_of(line: str) -> Command:
    words = shlex.split(line, comments=True)
    while words and _ASSIGNMENT.match(words[0]):  # VARIABLE=value in front
        words = words[1:]
    if len(words) > 2 and words[-2] in _REDIRECTIONS:
        return Command(tuple(words[:-2]), words[-1], "err" if words[-2] == "2>" else "out")
    return Command(tuple(words))


def name_of(manual: Path) -> str:
    return manual.relative_to(ROOT).as_posix()


def blocks_of(manual: Path) -> list[Block]:
    """All fenced blocks."""
    blocks, comments = [], []
    lines = enumerate(manual.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        comment, fence = _COMMENT.match(line), _FENCE.match(line)
        if comment:
            comments.append(comment[1])
            continue
        if fence:
            inside = []
            for _, inner in lines:
                if inner == "```":
                    break
                inside.append(inner)
            blocks.append(Block(manual, number, fence[1], tuple(comments), "\n".join(inside) + "\n"))
        comments = []
    return blocks


def prose_of(manual: Path) -> str:
    """The text outside of fenced blocks."""
    return re.sub(r"^```.*?^```$", "", manual.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_code(manual: Path) -> list[str]:
    return _INLINE.findall(prose_of(manual))


def links(manual: Path) -> Iterator[str]:
    """Where links and pictures lead; code does not count."""
    yield from _LINK.findall(_INLINE.sub("", prose_of(manual)))


def anchors(manual: Path) -> set[str]:
    """What `#...` may follow the manual's name in a link: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(manual), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
