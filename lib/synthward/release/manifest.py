"""The manifest: the one record of what a release promises, from which table properties, report and MLflow are filled.

Only publishable facts go in: public inputs, charges, sealed noisy numbers and what was computed from them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from synthward.errors import IntegrityError
from synthward.records.canonical import canonical_bytes
from synthward.records.codec import RecordFault, decode, encode, recordable
from synthward.records.manifest import ReleaseRecord

FORMAT = 2
"""Format of the manifests that are written now: canonical text by RFC 8785. Format 1 was indented JSON."""


@dataclass(frozen=True)
class Manifest:
    """A release's manifest.

    Attributes:
        body: JSON content; its keys are listed in docs/manifest.md.
    """

    body: dict[str, Any]

    @classmethod
    def of(cls, record: ReleaseRecord) -> Manifest:
        """The manifest of a release."""
        return cls(encode(record))

    @cached_property
    def record(self) -> ReleaseRecord:
        """What the manifest says.

        Raises:
            IntegrityError: It is no manifest that this version can read.
        """
        try:
            found = decode(ReleaseRecord, self.body)
        except RecordFault as fault:
            raise IntegrityError(f"manifest: this version cannot read it ({fault})") from fault
        if found.format not in (1, FORMAT):
            raise IntegrityError(
                f"manifest: found format {found.format}, this version reads 1 and {FORMAT}; read it with the version "
                "that wrote it"
            )
        return found

    @cached_property
    def text(self) -> str:
        """The canonical text of the manifest's format."""
        if self.body.get("format") == 1:
            return json.dumps(self.body, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
        return canonical_bytes(recordable(self.body)).decode()

    @property
    def digest(self) -> str:
        """sha256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Inverse of `text`."""
        return cls(json.loads(text))
