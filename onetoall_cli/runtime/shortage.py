"""Running out of memory: recognise the error on every device, and release memory before another try."""

import errno
import gc

# Messages of torch's allocators for CPUs and Apple GPUs, which raise a plain RuntimeError.
TEXTS = ("can't allocate memory", "not enough memory", "MPS backend out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that memory ran out, on any device."""
    # torch.OutOfMemoryError is recognised by its name, so that torch is not imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in str(error) for text in TEXTS)


def release_memory() -> None:
    """Run garbage collection, and release the device's cached memory."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
