"""Demonstration people with keys, for tests of rosters and signatures. The keys protect nothing."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from synthward.governance.keys import KeySigner, seal
from synthward.governance.roster import PAYLOAD_TYPE, signature_path
from trial import merged, write_yaml

FIRST, LAST = dt.date(2026, 1, 1), dt.date(2026, 12, 31)


def demo_key(name: str) -> KeySigner:
    """The key of a person of the tests, the same each time."""
    return KeySigner(Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"-")))


SITE_KEY = demo_key("site")
ROLES = {"ada": "data_engineer", "lee": "privacy_officer", "kim": "data_steward", "mo": "security_officer"}


def demo_roster(**changes: Any) -> dict[str, Any]:
    """A roster of `ROLES`, each with one key that is valid in 2026; changes are laid over it."""
    persons = {
        name: {
            "name": f"{name.title()} Demo",
            "accounts": [f"acct-{name}"],
            "roles": [{"role": role}],
            "keys": [{"public": demo_key(name).public, "first": FIRST, "last": LAST}],
        }
        for name, role in ROLES.items()
    }
    return merged({"version": 1, "name": "Demo people", "edition": 3, "persons": persons}, changes)


def write_roster(root: Path, roster: Mapping[str, Any], by: KeySigner = SITE_KEY) -> dict[str, str]:
    """Writes and signs a roster; gives the keys of the site file."""
    path = write_yaml(root / "roster.yaml", roster)
    signature_path(path).write_text(seal(by, PAYLOAD_TYPE, path.read_bytes()).text, encoding="ascii")
    return {"roster": "roster.yaml", "roster_key": SITE_KEY.public}


def roster_text(roster: Mapping[str, Any]) -> str:
    """A roster as YAML."""
    return json.dumps(roster, default=str)
