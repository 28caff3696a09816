"""Creates MLflow's SQLite file completely and privately, or not at all.

MLflow creates a new database by dozens of migrations in the final file. If the process is killed meanwhile, no later
MLflow can finish the file. So the file is created in a private folder beside its final place, and moved when it is
complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

HALF_MADE = (
    "the database file of tracking.uri is incomplete: a process was stopped while MLflow created it, or is creating it "
    "now. It holds no records. If no other run is active, move the file away; the next run creates a new one"
)
NO_DATABASE = "the file of tracking.uri is not an SQLite database; move it away or name another file"

_LEFT_BEHIND_SECONDS = 3600.0
"""An older unfinished database has no owner: creating one takes seconds, and a run gives up after minutes."""

_PATIENCE_SECONDS = 5.0


def file_of(uri: str) -> Path | None:
    """Return the file of an SQLite URI; None for a database in memory or another kind of URI."""
    parts = urllib.parse.urlsplit(uri)
    path = parts.path.removeprefix("/")
    return Path(path) if parts.scheme.partition("+")[0] == "sqlite" and path and path != ":memory:" else None


def fault(file: Path) -> str:
    """Return a short reason why MLflow cannot use this file; an empty text if it can.

    A missing or empty file is no problem: `prepare` creates the database.
    """
    if not file.exists():
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        writable = folder.is_dir() and os.access(folder, os.W_OK)
    else:
        writable = file.is_file() and os.access(file, os.W_OK)
    if not writable:
        return "the database file of tracking.uri cannot be written; give this user write access to it"
    if not file.exists() or file.stat().st_size == 0:
        return ""
    try:
        return HALF_MADE if _is_half_made(file) else ""
    except sqlite3.OperationalError:
        return ""  # locked by a writer: a database in use
    except sqlite3.DatabaseError:
        return NO_DATABASE


def _is_half_made(file: Path) -> bool:
    """True if MLflow's tables exist but hold no experiment. MLflow writes the first experiment as its last step."""
    # `rw`, not `ro`: SQLite must roll back the journal of a killed process before anything can be read.
    uri = f"{file.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_SECONDS)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        used = (
            database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None
            for table in ("experiments", "registered_models")
            if table in tables
        )
        return bool(tables) and not any(used)


def prepare(file: Path, make: Callable[[Path], None] | None = None) -> None:
    """Create MLflow's database if there is none. If the process is killed at any moment, there is still no file.

    Args:
        file: The database file. Its folder is created. An empty file counts as missing.
        make: Creates a database in a file; for tests. Default: MLflow, with artifacts in `mlartifacts` beside `file`.
    """
    if file.exists() and file.stat().st_size > 0:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(file)
    with tempfile.TemporaryDirectory(prefix=_prefix(file), dir=file.parent) as folder:
        made = Path(folder) / "mlflow.db"
        if make is None:
            _make(made, file.absolute().parent / "mlartifacts")
        else:
            make(made)
        made.chmod(0o600)
        _move(made, file)


def _prefix(file: Path) -> str:
    return f".{file.name}.making-"


def _remove_left_behind(file: Path) -> None:
    """Remove the unfinished databases of this user's killed processes."""
    for folder in file.parent.glob(f"{_prefix(file)}*"):
        with contextlib.suppress(OSError):  # another run removed it first
            found = folder.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > _LEFT_BEHIND_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _make(file: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{file}", artifacts.as_uri())
    store.engine.dispose()  # closes its connections, so that one file holds everything


def _move(made: Path, file: Path) -> None:
    """Move the database to its final place, unless another run has created one there in the meantime."""
    if file.exists() and file.stat().st_size == 0:
        made.replace(file)
        return
    try:
        os.link(made, file)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not file.exists():
            made.rename(file)
