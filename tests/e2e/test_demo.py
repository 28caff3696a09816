"""`make run` and `make demo-diabetes` as a newcomer starts them, in a checkout of their own."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from submitted import clean_environment, finished

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LINES = 2000
"""Lines of the diabetes extract that are kept, its header included."""


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demos need, so that everything they write lies there."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("jobs", "conf"):
        shutil.copytree(root / name, folder / name)
    return folder


def demo(root: Path, checkout: Path, *words: str) -> tuple[dict[str, Any], str]:
    """Runs a demo; its JSON line, and what it told the reader."""
    environment = clean_environment() | {"PYTHONPATH": str(root / "lib"), "SYNTHWARD_JARS_DIR": str(root / "jars")}
    done = finished([sys.executable, str(checkout / "jobs" / "demo.py"), *words], checkout, environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found, done.stderr


def parts(told: str) -> list[str]:
    """The numbered stages of a tour, in the order in which they were told."""
    return [line.partition(":")[0] for line in told.splitlines() if line[:1].isdigit() and line[1:3] == ". "]


def test_the_tour_publishes_one_request_and_shows_the_refusal_of_another(root: Path, checkout: Path) -> None:
    line, told = demo(root, checkout)
    assert line["is_new"] is True
    assert parts(told) == [
        "0. SIMULATED encounters of 50,000 invented patients",
        "1. budget",
        "2. plan",
        *["3. approval"] * told.count("3. approval"),
        "4. run",
        "5. a request that is refused, before any data is read",
        "6. recall, practised on a copy",
        "7. officer's site",
    ]
    assert "6. recall, practised on a copy: passed" in told
    assert (checkout / ".synthward" / "site" / "index.html").is_file()
    after = told[told.index("5. a request") :].splitlines()
    assert "epsilon" in after[1]
    assert after[1].startswith("   ")
    assert line["table"] in told
    assert Path(line["report"]).is_file()
    assert Path(line["report"]).is_relative_to(checkout)
    # The refused request has spent nothing and left nothing.
    assert sorted(path.name for path in (checkout / ".synthward" / "releases").glob("demo_encounters*")) == [
        Path(line["table"]).name
    ]
    again, told = demo(root, checkout)
    assert again == {**line, "is_new": False}
    assert "nothing was spent, nothing was written" in told


@pytest.mark.realdata
def test_the_main_job_on_the_first_lines_of_the_diabetes_extract(
    root: Path, checkout: Path, tmp_path: Path, data_dir: Path
) -> None:
    [source] = (data_dir / "diabetes130").rglob("diabetic_data.csv*")
    opened = gzip.open if source.suffix == ".gz" else open
    with opened(source, "rt", encoding="utf-8") as stream:
        lines = [next(stream) for _ in range(LINES)]
    cut = tmp_path / "diabetic_data.csv"
    cut.write_text("".join(lines), encoding="utf-8")
    # A fiftieth of the rows under the same noise would fail gates by chance; what is tested is the way through.
    request = checkout / "conf" / "requests" / "diabetes130.yaml"
    text = request.read_text(encoding="utf-8")
    loose = re.sub(r"^utility: .*$", "utility: {max_out_of_domain_share: 1, max_mean_tvd: 1}", text, flags=re.MULTILINE)
    request.write_text(loose.replace("epsilon: 1}", "epsilon: 3}"), encoding="utf-8")
    edited = request.read_text(encoding="utf-8").splitlines()
    assert len(set(edited) - set(text.splitlines())) == 2
    line, told = demo(root, checkout, "--diabetes", str(cut))
    assert line["is_new"] is True
    assert line["remaining"] < 4
    assert "scope diabetes130: epsilon" in told
    assert "5. " not in told
