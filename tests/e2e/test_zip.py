"""The zip that executors get: every worker module needs numpy and pyarrow, and nothing else of what we install."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from synthward.spark.package import build_zip

pytestmark = pytest.mark.e2e

# What an executor may lack, and what a worker module must therefore not import.
PROBE = """
import importlib, sys
class Refuse:
    allowed = {"numpy", "pyarrow", "synthward"}
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        # The standard library's own settings have a name for each platform, which its list of names lacks.
        if top not in self.allowed and top not in sys.stdlib_module_names and not top.startswith("_sysconfigdata_"):
            raise ImportError(f"{name} is not on executors")
sys.path.insert(0, sys.argv[1])
sys.meta_path.insert(0, Refuse())
module = importlib.import_module(sys.argv[2])
assert sys.argv[1] in module.__file__, module.__file__
loaded = sorted(name for name in sys.modules if name.startswith("synthward"))
assert not [name for name in loaded if name.split(".")[1:2] in (["config"], ["store"], ["api"])], loaded
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "synthward.zip")


def workers(root: Path) -> list[str]:
    lib = root / "lib"
    return sorted(".".join(path.relative_to(lib).with_suffix("").parts) for path in lib.rglob("_worker.py"))


def test_workers_import_from_the_zip_with_numpy_and_pyarrow_alone(root: Path, package: Path) -> None:
    found = workers(root)
    assert {"synthward.kernels._worker", "synthward.sample._worker", "synthward.run._worker"} <= set(found)
    for name in found:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(package), name], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"


def test_the_probe_notices_other_imports(package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(package), "synthward.config.loader"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "yaml is not on executors" in done.stderr


def test_the_zip_has_the_package_data(package: Path) -> None:
    names = zipfile.ZipFile(package).namelist()
    assert "synthward/spark/log4j2.properties" in names
    assert "synthward/config/schemas/request.json" in names
    assert not [name for name in names if name.endswith(".pyc")]
