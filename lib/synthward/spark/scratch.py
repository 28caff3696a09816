"""Private folders of local sessions, below the temporary directory; the next start removes those of killed drivers.

An owner holds a lock on a file in its folder for as long as it lives. The operating system frees the lock when the
process ends, however it ends, so a lock that can be taken has no owner. A process id would not do: it is used again,
and means another process in another container.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

OWNER = "owner.lock"

SPILL = "spill"
"""Folder of shuffle and spill files in a scratch folder."""

_NAME = re.compile(r"synthward-[a-z0-9_]{8}")
_EARLIER = {"log4j2.properties", "warehouse"}
"""All that a session of a version without locks put into its folder."""

_GRACE_SECONDS = 60.0
"""A folder so young may belong to a process that has not taken its lock yet."""

# Folder of this process -> descriptor that holds its lock.
_held: dict[Path, int] = {}


def new_scratch() -> Path:
    """A folder (mode 0700) that is removed with the session, with the process, or at the next start of another."""
    root = Path(tempfile.gettempdir())
    remove_abandoned(root)
    path = Path(tempfile.mkdtemp(prefix="synthward-", dir=root))
    (path / SPILL).mkdir(mode=0o700)  # Spark would make it with the mode that the umask leaves
    descriptor = os.open(path / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not _held:
        atexit.register(remove_scratch)
    _held[path] = descriptor
    return path


def remove_scratch() -> None:
    """Removes the folders of this process."""
    while _held:
        path, descriptor = _held.popitem()
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(root: Path, *, now: float | None = None, booted: float | None = None) -> list[Path]:
    """Removes this user's folders whose owner is gone; never those of others, of living processes or of other make.

    Args:
        root: Where the folders are.
        now: Seconds since the epoch; default: the clock's.
        booted: When this machine started, in the same seconds; default: what it says itself.

    Returns:
        The folders that were removed.
    """
    now = time.time() if now is None else now
    booted = _boot_time() if booted is None else booted
    found = [path for path in root.glob("synthward-*") if _NAME.fullmatch(path.name)]
    gone = [path for path in found if path not in _held and _is_abandoned(path, now, booted)]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return gone


def _is_abandoned(path: Path, now: float, booted: float) -> bool:
    try:
        folder = path.lstat()
        if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid():
            return False
        if not (path / OWNER).exists():
            return folder.st_mtime < booted and {entry.name for entry in path.iterdir()} <= _EARLIER
        descriptor = os.open(path / OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # another process removed it, or it is not what it seems
    try:
        if now - os.fstat(descriptor).st_mtime < _GRACE_SECONDS:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _boot_time() -> float:
    """When this machine started; 0 where it does not say, so that nothing is older."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    with contextlib.suppress(OSError):
        return 0.0 if clock is None else time.time() - time.clock_gettime(clock)
    return 0.0
