"""Private folders of local sessions, in the temporary directory. The next start removes those of killed drivers.

The owner of a folder holds a lock on a file in it while the owner lives. The operating system frees the lock when the
process ends for any reason. So if the lock is free, there is no owner. A process id could not show this, because ids
are used again and mean other processes in other containers.
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
"""Subfolder for shuffle and spill files."""

_NAME = re.compile(r"synthward-[a-z0-9_]{8}")
_EARLIER = {"log4j2.properties", "warehouse"}
"""Everything in the folder of a session whose version of this package had no locks."""

_GRACE_SECONDS = 60.0
"""A younger folder may belong to a process that has not taken its lock yet."""

# Folder of this process -> descriptor that holds its lock.
_held: dict[Path, int] = {}


def new_scratch() -> Path:
    """Create a folder (mode 0700). It is removed with the session, with the process, or at the next session start."""
    root = Path(tempfile.gettempdir())
    remove_abandoned(root)
    path = Path(tempfile.mkdtemp(prefix="synthward-", dir=root))
    (path / SPILL).mkdir(mode=0o700)  # Spark would use the mode that the umask allows
    descriptor = os.open(path / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not _held:
        atexit.register(remove_scratch)
    _held[path] = descriptor
    return path


def remove_scratch() -> None:
    """Remove the folders of this process."""
    while _held:
        path, descriptor = _held.popitem()
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(root: Path, *, now: float | None = None, booted: float | None = None) -> list[Path]:
    """Remove this user's folders whose owner is gone. Folders of other users, living processes or other programs stay.

    Args:
        root: The directory with the folders.
        now: Seconds since the epoch; default: the clock's.
        booted: Start time of this machine, in seconds since the epoch; default: from the machine.

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
        return False  # another process removed it, or it is not one of our folders
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
    """Return the start time of this machine; 0 if it is unknown, so that nothing is older."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    with contextlib.suppress(OSError):
        return 0.0 if clock is None else time.time() - time.clock_gettime(clock)
    return 0.0
