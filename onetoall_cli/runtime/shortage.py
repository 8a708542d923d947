"""When memory runs out: how every device says so, and what is given back before trying again."""

import gc

# What torch's allocators say in a plain RuntimeError: a CPU's, and Apple's GPU
TEXTS = ("can't allocate memory", "not enough memory", "MPS backend out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on any device."""
    # torch.OutOfMemoryError is known by its name: torch is not imported for commands that never need it
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in TEXTS)


def release_memory() -> None:
    """Collect what nothing refers to any more, and give the device's cached blocks back."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
