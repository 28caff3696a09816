"""What integration tests share beyond the session: places for Delta tables."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def zone_dir(tmp_path: Path) -> str:
    """A fresh directory for Delta tables, as Spark wants it: a string without a trailing slash."""
    return str(tmp_path / "zone")
