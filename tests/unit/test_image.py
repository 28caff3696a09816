"""The image for Kubernetes names things that are there; it is not built here."""

from __future__ import annotations

import re
from pathlib import Path

import synthward


def test_the_image_copies_what_exists_and_brings_the_tested_spark(root: Path) -> None:
    text = (root / "Dockerfile").read_text("utf-8")
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert "lib/" in copied
    # jars/ is what `make jars` leaves, and is not part of a checkout.
    assert [name for name in copied if name != "jars/" and not (root / name).exists()] == []
    pinned = re.search(r"^pyspark==(\S+)$", (root / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    assert f"apache/spark:{pinned.group(1)}-" in text
    assert f"synthward:{synthward.__version__}" in text
