"""MLflow's own SQLite file: made whole and private, or not at all.

MLflow makes a new database by dozens of migrations at the place where it will be used. A process that is killed then
leaves a file that no later MLflow can finish. So the file is made in a private folder beside its place and moved there
when it is complete.
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
    "the database file that tracking.uri names is half made: a process was ended while MLflow made it, or is making it "
    "right now. It records nothing. If no other run is going on, move the file away; the next run makes a new one"
)
NO_DATABASE = "the file that tracking.uri names is not an SQLite database; move it away or name another file"

_LEFT_BEHIND_SECONDS = 3600.0
"""Age from which an unfinished database belongs to nobody: making one takes seconds, and is given up in minutes."""

_PATIENCE_SECONDS = 5.0


def file_of(uri: str) -> Path | None:
    """File of an SQLite URI; None when it is in memory, or the URI is of another kind."""
    parts = urllib.parse.urlsplit(uri)
    path = parts.path.removeprefix("/")
    return Path(path) if parts.scheme.partition("+")[0] == "sqlite" and path and path != ":memory:" else None


def fault(file: Path) -> str:
    """Why MLflow could not use this file, in a few words; an empty text when nothing speaks against it.

    A file that is absent or empty is in order: `prepare` makes the database.
    """
    if not file.exists():
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        writable = folder.is_dir() and os.access(folder, os.W_OK)
    else:
        writable = file.is_file() and os.access(file, os.W_OK)
    if not writable:
        return "the database file that tracking.uri names cannot be written"
    if not file.exists() or file.stat().st_size == 0:
        return ""
    try:
        return HALF_MADE if _is_half_made(file) else ""
    except sqlite3.OperationalError:
        return ""  # locked by a writer: a database in use
    except sqlite3.DatabaseError:
        return NO_DATABASE


def _is_half_made(file: Path) -> bool:
    """Whether MLflow's tables were begun and hold nothing: the last act of making them is the first experiment."""
    # `rw`, not `ro`: what a killed process left in the journal has to be rolled back before anything can be read.
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
    """Makes MLflow's database where there is none; a kill at any moment leaves the place empty.

    Args:
        file: Where the database will be; its folder is made. An empty file counts as none.
        make: Makes a database in a file; for tests. Default: MLflow, with artifacts in `mlartifacts` beside `file`.
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
    """Removes what killed processes of this user left of their databases."""
    for folder in file.parent.glob(f"{_prefix(file)}*"):
        with contextlib.suppress(OSError):  # another run removed it first
            found = folder.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > _LEFT_BEHIND_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _make(file: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{file}", artifacts.as_uri())
    store.engine.dispose()  # closes its connections, so that the one file holds everything


def _move(made: Path, file: Path) -> None:
    """Moves the database to its place, unless another run has put one there in the meantime."""
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
