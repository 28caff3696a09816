"""A file lock for local tables.

The lock only saves conflicts and retries between processes of one machine. Safety does not depend on it: with or
without the lock, the compare-and-append of `chain` keeps two writers apart.
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
    """Return the lock of one table: `flock` on a hidden file beside a local table, no lock for any other table.

    Args:
        ref: The table.
        timeout: Largest number of seconds to wait for another process.
    """
    folder = local_path(ref.path) if ref.path is not None else None
    if folder is None or sys.platform == "win32":
        return contextlib.nullcontext
    return lambda: file_lock(folder.parent / f".{folder.name}.lock", timeout)


@contextlib.contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive `flock` on `path`. The operating system releases it when the process dies.

    The file says which process holds the lock, and since when. So a waiting process sees the difference between one
    long holder and many short ones. It gives up on a long holder. Among many short ones it waits for its turn.

    Nothing is locked if the folder is not on this machine (then the path belongs to another file system), or if the
    file system does not support locks.

    Raises:
        StoreConflict: One other process held the lock for `timeout` seconds.
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
            f"lock file {path}: cannot be opened ({error.strerror}); give this user write access to {path.parent}"
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
        with contextlib.suppress(OSError):  # on a full disk the lock still works
            os.pwrite(descriptor, f"{os.getpid():>20} {time.time_ns():>20}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
