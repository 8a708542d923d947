"""Return freed memory to the system on Linux, where the C library's heap would keep it in fragments."""

import ctypes
import sys

M_MMAP_THRESHOLD = -3  # glibc's malloc.h
THRESHOLD = 2**20  # bytes; each larger allocation is mapped by itself


def return_freed_memory() -> None:
    """Let the whole process map large allocations outside the heap.

    glibc does this above a threshold, but raises the threshold whenever a large block is freed, up to 32 MB. Tensors of
    that size then fragment the heap: decoding at 384 x 256 takes 2.2 times the memory. A fixed threshold avoids it.
    Other C libraries are left unchanged.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(M_MMAP_THRESHOLD, THRESHOLD)
