"""The manifest: the one record of what a release promises, from which table properties, report and MLflow are filled.

Only publishable facts go in: public inputs, charges, sealed noisy numbers and what was computed from them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A release's manifest.

    Attributes:
        body: JSON content; its keys are listed in docs/manifest.md.
    """

    body: dict[str, Any]

    @property
    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.body, sort_keys=True, ensure_ascii=False, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """sha256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Inverse of `text`."""
        return cls(json.loads(text))
