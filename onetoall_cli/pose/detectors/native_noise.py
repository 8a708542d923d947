"""Keeps MediaPipe's C++ start-up chatter off the terminal. It is written straight to file descriptor 2 before its
log levels can be set (GLOG_minloglevel and TF_CPP_MIN_LOG_LEVEL come too late), so the descriptor is held for a moment.
"""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOISE = re.compile(
    rb"[IW]\d{4,8} .*\.cc:\d+\]"  # absl and glog: information and warnings; errors pass
    rb"|INFO: Created TensorFlow Lite"
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|Matplotlib is building the font cache"
)
_held = threading.RLock()


@contextmanager
def without_native_noise() -> Iterator[None]:
    """Hold back what is written to stderr inside, then pass on all lines but the known noise.

    Other threads' lines are late by the time spent inside, so keep that short.
    """
    with _held, tempfile.TemporaryFile() as caught:
        _flush()
        try:
            terminal = os.dup(2)
        except OSError:  # a process without stderr has no terminal to keep clean
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(terminal, 2)
            caught.seek(0)
            for line in caught:
                if not _NOISE.match(line):
                    os.write(terminal, line)
            os.close(terminal)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
