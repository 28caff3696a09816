"""Reads what earlier versions wrote; see `golden/README.md`."""

from __future__ import annotations

import json
from pathlib import Path

from store_doubles import MemoryLinks
from synthward.store.links import Link

GOLDEN = Path(__file__).parent / "golden"

SOURCE = {"_whole": True, "format": "delta", "table": "clinic.visits"}
"""The source of the recorded runs."""


def links_of(path: Path, name: str) -> list[Link]:
    rows = json.loads(path.read_text(encoding="utf-8"))[name]
    return [
        Link(**{**row, "payload": None if row["payload"] is None else bytes.fromhex(row["payload"])}) for row in rows
    ]


def store_of(path: Path, name: str) -> MemoryLinks:
    store = MemoryLinks()
    store.links = links_of(path, name)
    return store
