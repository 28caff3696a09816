"""The tour's example of a refusal is never run, whatever the policy of the site says about it. Without Spark."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from synthward.demo.tour import _show_refusal
from synthward.errors import PolicyRefused

REQUEST: Any = SimpleNamespace(request=SimpleNamespace(title="Far too much"))


class Ward:
    """A site whose policy has these reasons against every request."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons

    def plan(self, file: object) -> Ward:
        return self

    def require_policy(self) -> None:
        if self.reasons:
            raise PolicyRefused(list(self.reasons))

    def run(self, file: object) -> None:
        pytest.fail("the request that is shown as refused was run")


def test_reasons_of_a_refusal_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    ward: Any = Ward("epsilon 50 is above 1")
    _show_refusal(ward, REQUEST)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "5. a request that is refused, before any data is read: Far too much"
    assert second == "   epsilon 50 is above 1"


def test_a_request_that_policy_allows_after_all_is_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    ward: Any = Ward()
    _show_refusal(ward, REQUEST)
    assert "does not refuse the request 'Far too much'" in capsys.readouterr().err
