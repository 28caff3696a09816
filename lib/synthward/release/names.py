"""Names that every release uses for itself."""

from __future__ import annotations

ROW = "_row"
LINEAGE = ("_synthetic", "_release_id", "_model_digest", "_generated_at", ROW)
"""Columns that every release has after the source's."""


def is_lineage(name: str) -> bool:
    """Whether a column of this name would stand beside a lineage column of the same name; case does not matter."""
    return name.lower() in LINEAGE
