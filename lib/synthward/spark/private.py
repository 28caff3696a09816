"""What a program creates on this machine: closed to other users by its umask."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

UMASK = 0o027
"""Of commands and jobs: results belong to the account and its group, never to everybody."""

HADOOP_UMASK = "077"
"""Of tables that a local session writes: to the account alone."""

HADOOP_UMASK_KEY = "spark.hadoop.fs.permissions.umask-mode"


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Closes to everybody else what this process and its children create for the time of a command.

    It never opens anything: a stricter umask stays. For programs (commands, jobs), not for library code, because the
    umask belongs to the whole process.
    """
    before = os.umask(UMASK)
    os.umask(before | UMASK)
    try:
        yield
    finally:
        os.umask(before)
