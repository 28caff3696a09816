"""What a failed pass says about the source, without Spark."""

from __future__ import annotations

import pytest

from synthward.errors import SourceError
from synthward.sources.reading import Pinned, PinnedSource, check_unchanged
from synthward.spec.request import Source

PINNED = PinnedSource((Pinned(Source(format="delta", table="main.ehr"), version=3),))


class Together(Exception):
    """Several stages of a job failed; over Connect their own conditions are in the text only."""

    def getCondition(self) -> str:
        return "STAGE_MATERIALIZATION_MULTIPLE_FAILURES"


def test_a_missing_file_is_found_where_stages_failed_together() -> None:
    failure = Together(
        "Multiple failures (2): [FAILED_READ_FILE.FILE_NOT_EXIST] Error while reading file:/secret/part-0"
    )
    with pytest.raises(SourceError, match="charge is forfeit") as told:
        check_unchanged(None, PINNED, failure)  # type: ignore[arg-type]
    assert "secret" not in str(told.value)


def test_other_failures_together_are_not_forfeit() -> None:
    check_unchanged(None, PINNED, Together("Multiple failures (2): [INTERNAL_ERROR] out of luck"))  # type: ignore[arg-type]
    check_unchanged(None, PINNED, ValueError("[FAILED_READ_FILE.FILE_NOT_EXIST]"))  # type: ignore[arg-type]
