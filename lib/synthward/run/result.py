"""How an execution of a run ended, for schedulers and people who see neither exit code nor terminal.

A result is a row of the `runs` table in the protected zone, and a JSON file where `--result` says. It holds ids, codes
and messages of `synthward.errors`, which are free of values; of any other error it holds the class and Spark's
condition only, because its text may quote a cell.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any

from synthward.config.instants import utc_text
from synthward.errors import SafeError
from synthward.run.plan import Plan

FORMAT = 1

MARK = "result"
"""Value of the key `synthward`, by which a later result knows that it may take an earlier one's place."""

_BEFORE_MARKS = frozenset({"format", "execution", "status", "code", "retryable", "started_at", "ended_at"})
"""Keys of a result that was written before results carried a mark."""

_STATUS = {2: "invalid", 3: "refused", 4: "over_budget", 5: "quarantined"}


@dataclass(frozen=True)
class RunResult:
    """The end of one execution; an execution is one try of a run.

    Attributes:
        execution: Random id of this try.
        status: published, unchanged (it had been published before), validated (a release waits for publication),
            invalid, refused, over_budget, quarantined, failed, or stopped (by a signal).
        code: Exit code.
        retryable: Whether the same command again, with nothing changed, may end better.
        started_at: UTC, ISO 8601.
        ended_at: UTC, ISO 8601.
        run_id: The run; None when it never came to have one.
        release_id: Likewise.
        run_key: Likewise.
        request_digest: Likewise.
        scope: Likewise.
        table: The published table, None unless published.
        error: Class of the error.
        message: What was wrong and how to mend it.
    """

    execution: str
    status: str
    code: int
    retryable: bool
    started_at: str
    ended_at: str
    run_id: str | None = None
    release_id: str | None = None
    run_key: str | None = None
    request_digest: str | None = None
    scope: str | None = None
    table: str | None = None
    error: str | None = None
    message: str | None = None

    @property
    def text(self) -> str:
        """As JSON, one line."""
        return json.dumps({"synthward": MARK, "format": FORMAT, **asdict(self)})

    @classmethod
    def success(cls, plan: Plan, table: str, *, is_new: bool, started: dt.datetime, ended: dt.datetime) -> RunResult:
        """A run that ended with a published release."""
        status = "published" if is_new else "unchanged"
        times = (utc_text(started), utc_text(ended))
        return cls(secrets.token_hex(8), status, 0, False, *times, **_ids(plan), table=table)

    @classmethod
    def validated(cls, plan: Plan, *, started: dt.datetime, ended: dt.datetime) -> RunResult:
        """A run that ended with a validated release, which is not published."""
        times = (utc_text(started), utc_text(ended))
        return cls(secrets.token_hex(8), "validated", 0, False, *times, **_ids(plan))

    @classmethod
    def failure(cls, error: BaseException, plan: Plan | None, *, started: dt.datetime, ended: dt.datetime) -> RunResult:
        """A run that ended with an error, or before it had a plan."""
        times = (utc_text(started), utc_text(ended))
        told = SafeError.of(error)
        status = _STATUS.get(told.code, "failed") if isinstance(error, Exception) else "stopped"
        ended_so = cls(
            secrets.token_hex(8), status, told.code, told.retryable, *times, error=told.name, message=told.message
        )
        return ended_so if plan is None else replace(ended_so, **_ids(plan))


def is_result(text: str | bytes) -> bool:
    """Whether a text is a result that an earlier execution wrote."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and (body.get("synthward") == MARK or body.keys() >= _BEFORE_MARKS)


def _ids(plan: Plan) -> dict[str, Any]:
    identity, file = plan.identity, plan.file
    return {
        "run_id": identity.run_id,
        "release_id": identity.release_id,
        "run_key": identity.run_key,
        "request_digest": file.digest,
        "scope": file.request.population.scope,
    }
