# Image for Spark on Kubernetes: Spark from its own image, Python, and Synthward's dependencies, by hash where the locks are
# of the image's platform (x86-64).
#   make jars zip && docker build -t registry.example.org/synthward:0.1.0 .
# Drivers and executors use the same image; see docs/running.md for the settings.
# The bases are named by tag: their digests were not known where this was written. Give them by digest, which is what a
# registry cannot change: --build-arg SPARK_IMAGE=apache/spark@sha256:... --build-arg PYTHON_IMAGE=python@sha256:...
ARG SPARK_IMAGE=apache/spark:4.2.0-scala2.13-java17-python3-ubuntu
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${SPARK_IMAGE} AS spark

FROM ${PYTHON_IMAGE}
# tini and gosu are what Spark's entrypoint starts a pod's process with.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless tini gosu procps \
    && rm -rf /var/lib/apt/lists/*
COPY --from=spark /opt/spark /opt/spark
COPY --from=spark /opt/entrypoint.sh /opt/entrypoint.sh

# Delta's two JARs, so that no pod needs the network for them.
COPY jars/ /opt/spark/jars/

COPY pyproject.toml constraints.txt README.md LICENSE /opt/synthward/
COPY requirements/ /opt/synthward/requirements/
COPY tools/lock_requirements.py /opt/synthward/tools/lock_requirements.py
COPY lib/ /opt/synthward/lib/
RUN cd /opt/synthward && if python tools/lock_requirements.py fits requirements; then \
        pip install --no-cache-dir --require-hashes --requirement requirements/build.lock \
        && pip install --no-cache-dir --require-hashes --requirement requirements/image.lock \
        && pip install --no-cache-dir --no-deps --no-build-isolation .; \
    else \
        pip install --no-cache-dir --constraint constraints.txt '.[mlflow]'; \
    fi
COPY jobs/ /opt/synthward/jobs/
COPY conf/domains/ /opt/synthward/conf/domains/

ENV SPARK_HOME=/opt/spark \
    PYTHONPATH=/opt/spark/python:/opt/spark/python/lib/py4j-src.zip \
    PYSPARK_PYTHON=/usr/local/bin/python3 \
    PYSPARK_DRIVER_PYTHON=/usr/local/bin/python3
# pyspark is Spark's own; py4j's archive carries its version in its name.
RUN ln -s /opt/spark/python/lib/py4j-*-src.zip /opt/spark/python/lib/py4j-src.zip \
    && groupadd --system --gid 185 spark && useradd --system --uid 185 --gid spark spark \
    && mkdir -p /opt/spark/work-dir && chown -R spark:spark /opt/spark/work-dir
WORKDIR /opt/spark/work-dir
USER spark
ENTRYPOINT ["/opt/entrypoint.sh"]
