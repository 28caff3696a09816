"""The form of names that several packages use."""

from __future__ import annotations

import re

SCOPE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""Name of a scope, also the key of its chain in the ledger. Names that begin with `_` belong to the ledger itself."""

SCOPE_RULE = "a-z, 0-9, '_', '.' and '-', a letter or a digit first, at most 64 characters"
"""The same form in words."""
