"""Names that every release uses for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

ROW = "_row"
LINEAGE = ("_synthetic", "_release_id", "_model_digest", "_generated_at", ROW)
"""Columns that every release has after the source's."""


def name_faults(names: Sequence[str]) -> Iterator[str]:
    """Names that cannot stand side by side in a release: Spark does not tell upper and lower case apart."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in LINEAGE:
            yield (
                f"column '{name}' has the name of a lineage column, which every release has ({', '.join(LINEAGE)}); "
                "read the source through a view that gives it another name"
            )
        if name.lower() in seen:
            yield (
                f"column '{name}' stands in the release twice, as '{seen[name.lower()]}' and as '{name}' (case does "
                "not matter); keep one"
            )
        seen.setdefault(name.lower(), name)
