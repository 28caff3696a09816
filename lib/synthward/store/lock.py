"""A file lock for local tables.

The lock is a courtesy: it saves conflicts and retries between processes of one machine. What keeps two writers apart is
the compare-and-append of `chain`, with or without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from synthward.errors import EnvironmentProblem, StoreConflict
from synthward.store.places import TableRef, local_path

Lock = Callable[[], AbstractContextManager[None]]

_HOLDER_BYTES = 64
_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def lock_for(ref: TableRef, timeout: float = 120.0) -> Lock:
    """The lock of one table: `flock` on a hidden file beside a local table, nothing for any other place.

    Args:
        ref: The table.
        timeout: Seconds to wait for another process before giving up.
    """
    folder = local_path(ref.path) if ref.path is not None else None
    if folder is None or sys.platform == "win32":
        return contextlib.nullcontext
    return lambda: file_lock(folder.parent / f".{folder.name}.lock", timeout)


@contextlib.contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive `flock` on `path`; the operating system releases it when the process dies.

    The file says who holds it since when, so that a process that waits tells one long holder, which it gives up on,
    from many short ones, among which its turn comes.

    Does nothing where the folder is not on this machine (the path then belongs to another file system) or the file
    system knows no locks.

    Raises:
        StoreConflict: One other process held it for `timeout` seconds.
        EnvironmentProblem: The lock file cannot be opened.
    """
    import fcntl

    if not path.parent.is_dir():
        yield
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise EnvironmentProblem(
            f"lock file {path}: cannot be opened ({error.strerror}); this user needs write access to {path.parent}"
        ) from error
    try:
        holder, give_up = b"", time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno in _UNSUPPORTED:
                    break
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                    raise
            seen = os.pread(descriptor, _HOLDER_BYTES, 0)
            if seen != holder:
                holder, give_up = seen, time.monotonic() + timeout
            if time.monotonic() >= give_up:
                raise StoreConflict(
                    f"lock file {path}: held by another process for more than {timeout:g} s; wait for the other run "
                    "to end, or find the process that holds it, and run the same command again"
                )
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # a full disk keeps nobody from holding the lock
            os.pwrite(descriptor, f"{os.getpid():>20} {time.time_ns():>20}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
