"""Running out of memory: recognise the error on every device, and release memory before another try."""

import errno
import gc

from onetoall_cli.errors import BadInput, OnetoallError, ran_out

# Messages of torch's allocators for CPUs and Apple GPUs, which raise a plain RuntimeError.
TEXTS = ("can't allocate memory", "not enough memory", "MPS backend out of memory")

_NO_THREAD = "can't start new thread"  # in a RuntimeError of Python
# What a file system refuses whatever the program does: names, rights, a disk that fails or can only be read.
_NOT_OURS = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE),
)


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


def as_user_error(error: BaseException) -> OnetoallError | None:
    """The `OnetoallError` that `error` is or amounts to (no memory left, a disk that fails), or None for a bug."""
    if isinstance(error, OnetoallError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    if is_out_of_memory(error):
        number = errno.ENOMEM
    elif isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        number = errno.EAGAIN
    if (shortage := ran_out(number)) is not None:
        return shortage
    if isinstance(error, OSError) and number in _NOT_OURS and error.filename is not None:
        return BadInput(f"{error.filename} cannot be used: {error.strerror}.", "Check the name, its disk and rights.")
    return None
