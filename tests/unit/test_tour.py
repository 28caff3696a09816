"""The tour's example of a refusal is never run, whatever the policy of the site says about it. Without Spark."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthward.demo.tour import Stop, _show_refusal, afterwards
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


class Finished:
    """A site that has published."""

    def __init__(self, root: Path) -> None:
        self.site = SimpleNamespace(**{zone: str(root / zone) for zone in ("ledger", "protected", "releases")})
        self.asked: list[Any] = []

    def drill(self, release_id: str) -> Any:
        return SimpleNamespace(passed=release_id == "r1", seconds=3.2)

    def site_pages(self, requests: list[Any]) -> dict[str, str]:
        self.asked = requests
        return {"index.html": '<!DOCTYPE html>\n<meta name="generator" content="synthward 0">'}


@pytest.mark.parametrize("is_new", [True, False])
def test_a_new_release_is_followed_by_a_drill_and_the_officers_site(
    is_new: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ward: Any = Finished(tmp_path)
    release: Any = SimpleNamespace(release_id="r1", outcome=SimpleNamespace(is_new=is_new))
    people: Any = None
    afterwards(ward, Stop(REQUEST, people, REQUEST), release, tmp_path / "site")
    told = capsys.readouterr().err
    assert ("6. recall, practised on a copy: passed in 3 seconds" in told) == is_new
    assert (tmp_path / "site" / "index.html").is_file() == is_new
    assert ward.asked == ([REQUEST, REQUEST] if is_new else [])
