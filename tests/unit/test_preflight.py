"""Preflight's advice, without Spark."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from pyspark.errors import PySparkException

from synthward.kernels.compiled import METHOD_LIMIT_KEY
from synthward.pipeline.preflight import INTERPRETED_COLUMNS, warn_of_interpretation


class Session:
    """A session of somebody else's: its settings can be read at best."""

    def __init__(self, limit: str | None) -> None:
        self.conf = self
        self._limit = limit

    def get(self, key: str) -> str:
        """See `RuntimeConfig.get`."""
        assert key == METHOD_LIMIT_KEY
        if self._limit is None:
            raise PySparkException("not available here")
        return self._limit


@pytest.mark.parametrize(
    ("limit", "columns", "warned"),
    [
        ("65535", INTERPRETED_COLUMNS, True),
        ("65535", INTERPRETED_COLUMNS - 1, False),
        ("8000", 300, False),
        (None, 300, False),
    ],
)
def test_a_session_that_would_interpret_the_kernels_is_told_of(
    limit: str | None, columns: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_interpretation(cast("Any", Session(limit)), columns)
    assert ("set it to 8000" in caplog.text) == warned
    assert (METHOD_LIMIT_KEY in caplog.text) == warned
