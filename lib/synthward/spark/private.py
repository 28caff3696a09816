"""Umasks that close new files of a program to other users of the machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

UMASK = 0o027
"""Umask of commands and jobs: the account and its group may read the results, nobody else."""

HADOOP_UMASK = "077"
"""Umask of tables that a local session writes: only the account may read them."""

HADOOP_UMASK_KEY = "spark.hadoop.fs.permissions.umask-mode"


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Close all files that this process and its children create during a command to everybody else.

    It never opens anything: a stricter umask stays. Use it in programs (commands, jobs), not in library code, because
    the umask belongs to the whole process.
    """
    before = os.umask(UMASK)
    os.umask(before | UMASK)
    try:
        yield
    finally:
        os.umask(before)
