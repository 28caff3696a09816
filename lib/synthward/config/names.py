"""The form of names that several parts use."""

from __future__ import annotations

import re

SCOPE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""Name of a scope. It is also the key of its chain in the ledger, where names that begin with `_` are the ledger's."""

SCOPE_RULE = "a-z, 0-9, '_', '.' and '-', a letter or a digit first, 64 at most"
"""The same in words."""
