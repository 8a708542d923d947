"""One file of a repository, as `--lora hf:…` names it."""

import pytest
from fake_hub import FakeHub

from onetoall_cli.errors import BadInput
from onetoall_cli.hub.repository_file import repository_file


def test_a_file_is_fetched_once_and_then_found_without_the_network(hub: FakeHub):
    hub.add("someone/loras", {"folder/a.safetensors": b"x" * 5000, "b.safetensors": b"y"})
    path = repository_file("hf:someone/loras/folder/a.safetensors")
    assert path.read_bytes() == b"x" * 5000
    asked = len(hub.requests)
    assert repository_file("hf:someone/loras/folder/a.safetensors") == path
    assert len(hub.requests) == asked


def test_a_name_that_is_not_there_says_what_is(hub: FakeHub):
    hub.add("someone/loras", {"b.safetensors": b"y"})
    with pytest.raises(BadInput, match="no file a") as caught:
        repository_file("hf:someone/loras/a.safetensors")
    assert "b.safetensors" in caught.value.advice
