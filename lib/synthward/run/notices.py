"""Delivers findings to people: as a file, as a webhook. Both get the same JSON.

A webhook gets what is publishable only: findings hold no values. Its address may hold a secret, so it is never quoted.
"""

from __future__ import annotations

import dataclasses
import json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

from synthward.errors import EnvironmentProblem, UsageError
from synthward.records.codec import encode
from synthward.records.findings import Watched

MARK = "monitoring"
"""Value of the key `synthward`, by which a later file knows that it may take an earlier one's place."""

SECONDS = 10.0
"""How long a webhook may take to answer."""


def notice(watched: Watched, site: str) -> bytes:
    """The JSON of an execution; schemas stay in the protected zone.

    Args:
        watched: What was found.
        site: Name of the site.
    """
    body = encode(dataclasses.replace(watched, schemas=()))
    said = {"synthward": MARK, "site": site, "worst": watched.worst, **body}
    return json.dumps(said, sort_keys=True).encode() + b"\n"


def is_notice(content: bytes) -> bool:
    """Whether a file is one that an earlier execution wrote."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("synthward") == MARK


def require_webhook(address: str) -> None:
    """Refuse an address that is none.

    Raises:
        UsageError: It is no http or https address with a host.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError("--webhook: found no http or https address with a host; check it")


def post(address: str, content: bytes) -> None:
    """Send a notice to a webhook. Redirections are not followed: the address says where findings go.

    Raises:
        EnvironmentProblem: It did not take the notice.
    """
    require_webhook(address)
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
    try:
        urllib.request.build_opener(_Stay).open(request, timeout=SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise EnvironmentProblem(f"--webhook: it answers {error.code}; findings are on record, see `--out`") from None
    except (OSError, ValueError, HTTPException) as error:
        kind = type(getattr(error, "reason", error)).__name__
        raise EnvironmentProblem(f"--webhook: no answer ({kind}); findings are on record, see `--out`") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""
