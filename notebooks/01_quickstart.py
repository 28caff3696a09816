# Databricks notebook source
# MAGIC %md
# MAGIC # From a request to a synthetic table
# MAGIC
# MAGIC Scope, request, plan, approvals, run, report. Run as it is, this notebook works on SIMULATED encounters that it
# MAGIC writes first; name your own site, request and source in the widgets. It needs nothing but a Spark session with
# MAGIC Delta and Synthward's wheel, on a cluster of any access mode, on serverless compute, or on a laptop:
# MAGIC
# MAGIC     %pip install /Volumes/main/synthward/wheels/synthward-0.1.0-py3-none-any.whl
# MAGIC
# MAGIC The wheel asks for neither pyspark nor MLflow, so those of the runtime stay as they are.

# COMMAND ----------

from pathlib import Path

import synthward
from synthward.demo.simulator import write_demo
from synthward.errors import JobFailed

try:
    spark
except NameError:  # not on Databricks: a local session
    from synthward.spark.session import build_session

    spark = build_session("synthward notebook")


def setting(name, default, label):
    """A widget's value on Databricks, the default elsewhere."""
    try:
        dbutils.widgets.text(name, default, label)
        return dbutils.widgets.get(name)
    except NameError:
        return default


def show(html):
    """HTML in the notebook; nothing where there is none to show it in."""
    try:
        displayHTML(html)
    except NameError:
        try:
            from IPython.display import HTML, display
        except ImportError:
            return
        display(HTML(html))


SITE = setting("site", "../conf/site.yaml", "1 Site file")
REQUEST = setting("request", "../conf/requests/demo_encounters.yaml", "2 Request file")
SOURCE = setting("source", "", "3 Source: path or catalog.schema.table (empty: as in the request)")
RUN_KEY = setting("run_key", "quickstart", "4 Run key")
POPULATION = setting("population", "../conf/populations/demo.yaml", "5 Population file: whose budget, and how large")
APPROVERS = setting("approvers", "data_steward=kim,privacy_officer=lee", "6 Approvers of the demonstration: role=name")
IS_DEMO = Path(REQUEST).name == "demo_encounters.yaml" and not SOURCE

# COMMAND ----------

# MAGIC %md
# MAGIC ## The site and the request
# MAGIC The site file belongs to the platform team: ledger, protected zone and release zone are folders, URIs, or
# MAGIC catalog schemas such as `main.synthward_ledger`. The request says what is wanted, and for what purpose.

# COMMAND ----------

synthward.show_progress()  # one line a step, under the cell that runs
ward = synthward.open(spark, SITE)
if IS_DEMO:
    write_demo(spark, str(Path(SITE).absolute().parent.parent / ".synthward" / "demo" / "encounters"))
request = ward.request(REQUEST, source=SOURCE or None)
population = request.request.population
print(f"{request.request.title}: {len(request.request.columns)} columns, scope {population.scope}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The budget of the population
# MAGIC Opened once by the privacy officer, with a file that says whose budget it is: tables, key, path, ids. The same
# MAGIC again changes nothing. At a site this is no part of a notebook.

# COMMAND ----------

people = ward.population(POPULATION, source=SOURCE or None)
account = ward.open_population(people, by="lee", note="opened by the quickstart notebook")
print(f"scope {account.scope}: epsilon {account.remaining} of {account.terms.max_epsilon} left")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The plan
# MAGIC Made of public numbers alone: no data are read. It says what policy makes of the request, what will be charged,
# MAGIC and how far the noise alone can be expected to move each column.

# COMMAND ----------

plan = ward.plan(request, run_key=RUN_KEY)
print(ward.describe(plan))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The approvals
# MAGIC People other than the requester decide, each under an account of their own. In the demonstration
# MAGIC invented people do.

# COMMAND ----------

names = dict(entry.split("=") for entry in APPROVERS.split(",") if entry)
for role in plan.assessment.approvals_needed:
    if role in names:
        ward.approve(request, by=names[role], role=role, runs=2, note="decision of the demonstration")
verdict = ward.verdict(plan)
print("approved" if verdict.ok else "; ".join(verdict.reasons))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The run
# MAGIC Running this cell again, or after a crash, resumes the run of the same key and spends nothing.

# COMMAND ----------

try:
    release = ward.run(request, run_key=RUN_KEY)
except Exception as error:  # noqa: BLE001 - the text of an error that is not Synthward's may quote a cell
    raise JobFailed.of(error) from None
print(f"release {release.release_id}: {release.table}")
print(f"left in scope {population.scope}: epsilon {release.outcome.scope.remaining}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The report, and the rows

# COMMAND ----------

show(release.report)

# COMMAND ----------

rows = ward.rows(release.release_id)
rows.limit(10).toPandas()
