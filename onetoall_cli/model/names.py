"""Names of tensors in files that a training wrote: those of the network, some below `model.`."""

_TRAINERS_PREFIX = "model."


def plain_name(name: str) -> str:
    """A stored name without the prefix under which training frameworks keep the network."""
    return name.removeprefix(_TRAINERS_PREFIX)
