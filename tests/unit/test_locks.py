"""The locks of the environment: made from pip's own report, of one platform, in step with the pinned versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lock_requirements as locks

HASH = "ab" * 32


def item(name: str, version: str, **info: object) -> dict[str, object]:
    return {"metadata": {"name": name, "version": version}, "download_info": info}


def wheel(name: str, version: str) -> dict[str, object]:
    return item(name, version, url=f"https://index/{name}.whl", archive_info={"hashes": {"sha256": HASH}})


def test_a_lock_has_every_package_with_its_hash_but_not_the_checkout() -> None:
    own = item("synthward", "0.1.0", url="file:///checkout", dir_info={})
    report = {"install": [wheel("SQLAlchemy", "2.1"), own, wheel("ast_serialize", "0.13")]}
    text = locks.lock_text(report, "here", [".[dev]"])
    assert text.splitlines()[1:] == [
        "# platform: here",
        f"ast-serialize==0.13 --hash=sha256:{HASH}",
        f"sqlalchemy==2.1 --hash=sha256:{HASH}",
    ]


def test_a_package_without_a_hash_is_refused() -> None:
    with pytest.raises(locks.CannotLockError, match=r"odd 1\.0: pip reports no sha256"):
        locks.lock_text({"install": [item("odd", "1.0", url="git+https://host/odd", vcs_info={})]}, "here", ["odd"])


def test_locks_are_used_on_their_platform_only(tmp_path: Path) -> None:
    for name in locks.LOCKS:
        assert not locks.fits(tmp_path, "here")
        (tmp_path / f"{name}.lock").write_text(locks.lock_text({"install": []}, "here", []), encoding="utf-8")
    assert locks.fits(tmp_path, "here")
    assert not locks.fits(tmp_path, "her")
    assert not locks.fits(tmp_path, "here, too")


def test_checked_in_locks_have_the_pinned_versions(root: Path) -> None:
    def pins(file: Path) -> dict[str, str]:
        lines = [line.split()[0] for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
        return {
            re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in (w.partition("==") for w in lines)
        }

    pinned = pins(root / "constraints.txt")
    of = {name: pins(root / "requirements" / f"{name}.lock") for name in locks.LOCKS}
    assert {name: versions.items() <= pinned.items() for name, versions in of.items()} == dict.fromkeys(of, True)
    assert set(pinned) == set(of["dev"])
    assert {"mlflow", "numpy", "opendp"} <= set(of["image"])
    assert "pyspark" not in of["image"]
    for name in locks.LOCKS:
        lines = (root / "requirements" / f"{name}.lock").read_text("utf-8").splitlines()
        assert [line for line in lines if not re.fullmatch(r"#.*|\S+==\S+ --hash=sha256:[0-9a-f]{64}", line)] == []
