"""What docs/running.md tells people to type."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from synthward.errors import ConfigError
from synthward.governance.policy import load_policy
from synthward.spec.request_file import load_request
from synthward.spec.site import load_site
from trial import TestSite


def flat_files(root: Path) -> list[str]:
    """What the page ships by `--files` to a driver on YARN."""
    [listed] = re.findall(r"--files (\S+?)`", (root / "docs" / "running.md").read_text("utf-8"))
    return str(listed).split(",")


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    """A site whose files name each other without folders; the domain has a code book."""
    made = TestSite(tmp_path / "site")
    (made.root / "codes.csv").write_text("code\nF\nM\n", encoding="utf-8")
    made.domain({"sex": {"type": "categorical", "codebook": "codes.csv"}})
    made.request(columns=["sex"])
    return made


def test_the_files_for_a_driver_on_a_cluster_are_those_that_it_opens(
    root: Path, site: TestSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As YARN puts them: side by side in the working directory of a driver that sees nothing else."""
    names = flat_files(root)
    assert {file.name for file in site.root.glob("*.*")} == set(names)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in names:
        shutil.move(site.root / name, work / name)
    load_policy(Path(load_site(Path("site.yaml")).policy))
    here = load_request(Path("request.yaml"))
    assert list(here.domain.attributes) == ["sex"]
    for name in set(names) - {"site.yaml", "policy.yaml", "request.yaml"}:
        (work / name).rename(work / "away")
        with pytest.raises(ConfigError, match=re.escape(name)):
            load_request(Path("request.yaml"))
        (work / "away").rename(work / name)
