"""HDFS and YARN on this machine: a name node, a data node, a resource manager and two node managers, a process each.

The daemons are those of hadoop-client-minicluster, which `make extras` fetches, beside the Hadoop classes that Spark
brings. They listen on 127.0.0.1 only, keep everything in one folder and are stopped by whoever started them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from submitted import SPARK_HOME, clean_environment, free_port, stop, wait_for
from synthward.spark.java import find_java

NODES = 2

_HERE = "127.0.0.1"
_DAEMONS = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "resourcemanager": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    "nodemanager": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
}
# What node managers and clients call the resource manager for.
_MANAGER = ("address", "scheduler.address", "resource-tracker.address", "admin.address")


@dataclass(frozen=True)
class Hadoop:
    """A running cluster.

    Attributes:
        conf: The clients' settings, for HADOOP_CONF_DIR.
        files: URI of its file system, without a slash at the end.
        logs: Where containers log: `node/application/container/stdout` and `stderr`.
    """

    conf: Path
    files: str
    logs: Path


@contextlib.contextmanager
def hadoop(folder: Path, jars: Path) -> Iterator[Hadoop]:
    """Formats a file system and starts the daemons.

    Args:
        folder: Where they keep everything; exists.
        jars: Folder with hadoop-client-minicluster of Spark's own Hadoop version and what it needs beside Spark's JARs.
    """
    namenode = free_port()
    manager = {name: free_port() for name in _MANAGER}
    confs = [_configured(folder, namenode, manager, node) for node in range(NODES)]
    environment = {
        name: value for name, value in clean_environment().items() if not name.startswith(("PYTHON", "HADOOP", "YARN"))
    }
    java = str(find_java(os.environ).executable)
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str, node: int = 0) -> subprocess.Popen[bytes]:
        classes = os.pathsep.join([str(confs[node]), f"{jars}/*", f"{SPARK_HOME / 'jars'}/*"])
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        with (folder / f"{name}-{node}.log").open("ab") as log:
            process = subprocess.Popen(
                [java, *options, "-cp", classes, _DAEMONS[name], *words],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        return process

    try:
        assert start("namenode", "-format", "-nonInteractive").wait(120) == 0
        wait_for(namenode, start("namenode"))
        start("datanode")
        wait_for(manager["resource-tracker.address"], start("resourcemanager"))
        for node in range(NODES):
            start("nodemanager", node=node)
        yield Hadoop(confs[0], f"hdfs://{_HERE}:{namenode}", folder / "logs")
    finally:
        stop(started)


def _configured(folder: Path, namenode: int, manager: Mapping[str, int], node: int) -> Path:
    """A folder of settings for the daemons of one node; those of node 0 are the clients' too."""
    conf = folder / f"conf-{node}"
    conf.mkdir()
    _write(
        conf / "core-site.xml",
        {"fs.defaultFS": f"hdfs://{_HERE}:{namenode}", "hadoop.tmp.dir": str(folder / f"tmp-{node}")},
    )
    _write(
        conf / "hdfs-site.xml",
        {
            "dfs.namenode.name.dir": (folder / "names").as_uri(),
            "dfs.namenode.http-address": f"{_HERE}:0",
            "dfs.datanode.data.dir": (folder / "blocks").as_uri(),
            "dfs.datanode.address": f"{_HERE}:0",
            "dfs.datanode.http.address": f"{_HERE}:0",
            "dfs.datanode.ipc.address": f"{_HERE}:0",
            "dfs.replication": "1",
        },
    )
    scheduler = "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler"
    _write(
        conf / "yarn-site.xml",
        {
            **{f"yarn.resourcemanager.{name}": f"{_HERE}:{port}" for name, port in manager.items()},
            "yarn.resourcemanager.webapp.address": f"{_HERE}:0",
            # The default scheduler wants a file of queues.
            "yarn.resourcemanager.scheduler.class": scheduler,
            "yarn.scheduler.minimum-allocation-mb": "128",
            "yarn.nodemanager.address": f"{_HERE}:0",
            "yarn.nodemanager.localizer.address": f"{_HERE}:0",
            "yarn.nodemanager.webapp.address": f"{_HERE}:0",
            "yarn.nodemanager.local-dirs": str(folder / f"local-{node}"),
            "yarn.nodemanager.log-dirs": str(folder / "logs" / f"node-{node}"),
            "yarn.nodemanager.resource.memory-mb": "3072",
            "yarn.nodemanager.resource.cpu-vcores": "2",
            # Physical memory is watched, as by default; a JVM reserves far more virtual memory than it uses.
            "yarn.nodemanager.vmem-check-enabled": "false",
            # A node is given up at 90 % by default, which a shared disk may have reached.
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.5",
        },
    )
    return conf


def _write(file: Path, settings: Mapping[str, str]) -> None:
    """A file of settings in Hadoop's form."""
    top = ET.Element("configuration")
    for name, value in settings.items():
        entry = ET.SubElement(top, "property")
        ET.SubElement(entry, "name").text = name
        ET.SubElement(entry, "value").text = value
    ET.ElementTree(top).write(file, encoding="utf-8", xml_declaration=True)
