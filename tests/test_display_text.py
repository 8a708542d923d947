"""Text from outside as it is shown: no terminal escapes, no line breaks, bounded."""

import os

from hypothesis import given
from hypothesis import strategies as st

from onetoall_cli.display_text import MESSAGE, displayed, displayed_lines, displayed_names
from onetoall_cli.errors import BadInput


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    assert displayed("a\x1b[31mred\x07\n\u202egnp") == r"a\x1b[31mred\x07\n\u202egnp"
    assert displayed("Grüße 日本\u3000語 👩\u200d🎤") == "Grüße 日本\u3000語 👩\u200d🎤"
    assert displayed(os.fsdecode(b"caf\xe9.png")) == r"caf\xe9.png"


@given(st.text(st.characters(codec=None), max_size=50), st.integers(4, 40))
def test_shown_text_is_one_line_of_bounded_length_that_any_terminal_takes(text: str, limit: int) -> None:
    shown = displayed(text, limit)
    assert len(shown) <= limit and len(shown.splitlines()) <= 1
    shown.encode("utf-8")


def test_lines_stay_lines() -> None:
    assert displayed_lines("a\n\tb\x1b[0m\r\nc") == "a\n\tb\\x1b[0m\\r\nc"


def test_long_lists_of_names_are_cut() -> None:
    assert displayed_names(["a", "b"]) == "a, b"
    assert displayed_names(map(str, range(1000)), 2) == "0, 1 and 998 more"


def test_errors_are_safe_and_bounded_whatever_stands_in_them() -> None:
    error = BadInput("x\x1b[2J" * 10**5, "y\n" * 10**5)
    assert len(str(error)) <= 2 * MESSAGE + 1
    assert not any(character in str(error) for character in "\x1b\n")
