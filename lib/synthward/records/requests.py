"""What stands in the records about submitted requests: the layout of a bundle, and the bodies of the links.

Each request has one chain, under its id. A `submitted` link adds a version; its payload is the bundle. A `withdrawn`
link ends the request until it is submitted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

SUBMITTED, WITHDRAWN = "submitted", "withdrawn"
"""Kinds of links."""


@dataclass(frozen=True)
class BundleFile:
    """A file of a bundle: its path in the set, and its content in base64."""

    path: str
    content: str


@dataclass(frozen=True)
class BundleLayout:
    """A bundle as it is kept, in the canonical form of records.

    Attributes:
        kind: What the bytes are, with their version.
        request: Path of the request in the set.
        files: All files, sorted by their paths.
        population: Whose budget it is, as the ledger said on submission; None where the scope had no people then.
    """

    kind: Literal["synthward bundle 1"]
    request: str
    files: tuple[BundleFile, ...]
    population: Any = None


@dataclass(frozen=True)
class Submission:
    """Body of a `submitted` link.

    Attributes:
        id: Id of the request.
        version: Its version, from 1.
        scope: Scope of the request.
        output: Name of its output.
        request: Digest of the request; what approvals are bound to.
        bundle: SHA-256 of the bundle.
        folder: Folder to which paths of sources are relative.
        source: What replaces the location of the source; None for what the request says.
        by: Who submitted it.
        role: Role in which the request was made.
        at: When: UTC, ISO 8601.
        note: The person's remark.
        envelope: The person's signature, a DSSE envelope; empty where none was given.
    """

    id: str
    version: int
    scope: str
    output: str
    request: str
    bundle: str
    folder: str
    source: str | None
    by: str
    role: str
    at: str
    note: str = ""
    envelope: str = ""


@dataclass(frozen=True)
class Withdrawal:
    """Body of a `withdrawn` link.

    Attributes:
        id: Id of the request.
        version: The newest version.
        scope: Scope of the request.
        by: Who withdrew it.
        role: Role in which the request was made.
        at: When: UTC, ISO 8601.
        note: Why.
        envelope: As in `Submission`.
    """

    id: str
    version: int
    scope: str
    by: str
    role: str
    at: str
    note: str = ""
    envelope: str = ""
