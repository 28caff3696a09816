"""The package as it travels: light imports, worker modules, the zip, the version, files that exist twice."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import synthward
from synthward.spark.doctor import _PACKAGES
from synthward.spark.package import build_zip

PACKAGE = Path(synthward.__file__).parent
WORKERS = sorted(PACKAGE.rglob("_worker.py"))
HEAVY = ["numpy", "pandas", "pyarrow", "pyspark", "opendp", "mlflow", "matplotlib", "yaml", "jinja2", "cryptography"]


def modules_after(statement: str, *, path: str | None = None) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    start = f"import sys; sys.path.insert(0, {path!r}); " if path else "import sys; "
    program = f"{start}{statement}; import json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert modules_after("import synthward; synthward.__version__; dir(synthward)").isdisjoint(HEAVY)


def test_public_names_and_a_wrong_one() -> None:
    assert (
        set(synthward.__all__)
        == {"check", "doctor", "draft_domain", "load_model", "open", "show_progress", "__version__"}
        <= set(dir(synthward))
    )
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = synthward.opne


@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.parent.name)
def test_worker_modules_import_numpy_and_pyarrow_only(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            # The bare package is loaded with any of its modules, imports nothing, and knows its version.
            imported |= {alias.name.split(".")[0] for alias in node.names if alias.name != "synthward"}
        elif isinstance(node, ast.ImportFrom):
            imported.add("synthward" if node.level else str(node.module).split(".")[0])
    assert imported - sys.stdlib_module_names <= {"numpy", "pyarrow"}


@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.parent.name)
def test_worker_modules_load_without_spark(path: Path) -> None:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    assert modules_after(f"import {name}").isdisjoint(set(HEAVY) - {"numpy", "pyarrow"})


def test_zip_is_importable_and_carries_its_data(tmp_path: Path) -> None:
    target = build_zip(tmp_path / "out" / "synthward.zip")
    names = zipfile.ZipFile(target).namelist()
    data = {
        path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.suffix in (".json", ".j2")
    }
    assert data | {"synthward/py.typed", "synthward/spark/log4j2.properties"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or not name.startswith("synthward/")]
    program = "import synthward, importlib.resources as r; assert '.zip' in synthward.__file__, synthward.__file__"
    program += "; assert r.files('synthward.spark').joinpath('log4j2.properties').read_text()"
    modules_after(program, path=str(target))


def test_zip_is_the_same_bytes_whenever_and_wherever_it_is_built(tmp_path: Path) -> None:
    copies = []
    for name in ("one", "two"):
        package = tmp_path / name / "synthward"
        for path in sorted(PACKAGE.rglob("*.py"), reverse=name == "two"):
            copy = package / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        (package / "__pycache__").mkdir(exist_ok=True)
        (package / "__pycache__" / f"{name}.pyc").write_bytes(b"")
        copies.append(hashlib.sha256(build_zip(tmp_path / f"{name}.zip", package).read_bytes()).hexdigest())
    assert copies[0] == copies[1]


def test_version_is_said_once(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", synthward.__version__)


def test_doctor_and_pyproject_agree_on_ranges(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["spark"], *extras["mlflow"]]
    ranges = {re.split(r"[=<>\[]", item)[0]: item for item in wanted}
    for name, (oldest, too_new, _) in _PACKAGES.items():
        expected = (
            f"{name}=={oldest}.*" if name == "opendp" else f"{name}>={oldest}" + (f",<{too_new}" if too_new else "")
        )
        assert ranges[name] == expected


def test_constraints_pin_what_pyproject_names(root: Path) -> None:
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {plain(re.split(r"[=<>\[]", item)[0]) for item in wanted} - {"synthward"}
    lines = [line for line in (root / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert names <= {plain(line.split("==")[0]) for line in lines}


def test_log_configuration_for_clusters_is_the_packaged_one(root: Path) -> None:
    packaged = (PACKAGE / "spark" / "log4j2.properties").read_text("utf-8")
    assert (root / "conf" / "log4j2.properties").read_text("utf-8") == packaged


def test_every_make_target_is_documented(root: Path) -> None:
    text = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    documented = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert targets == documented == set(phony.group(1).split())
