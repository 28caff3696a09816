# Databricks notebook source
# MAGIC %md
# MAGIC # Operating: budget, runs, resuming, comparing releases
# MAGIC
# MAGIC Everything here reads records and published synthetic tables; no cell reads protected data. The cell that
# MAGIC resumes a run does what the job's retry would do.

# COMMAND ----------

import html
import json

import synthward
from synthward.errors import JobFailed
from synthward.run.journal import advice

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


def show(page):
    """HTML in the notebook; nothing where there is none to show it in."""
    try:
        displayHTML(page)
    except NameError:
        try:
            from IPython.display import HTML, display
        except ImportError:
            return
        display(HTML(page))


def task_value(key, value):
    """Hands a value to the next task of a Databricks job; elsewhere there is no next task."""
    try:
        dbutils.jobs.taskValues.set(key, value)
    except (NameError, AttributeError):
        return


SITE = setting("site", "../conf/site.yaml", "1 Site file")
REQUEST = setting("request", "../conf/requests/demo_encounters.yaml", "2 Request file")
SOURCE = setting("source", "", "3 Source: path or catalog.schema.table (empty: as in the request)")
RUN_KEY = setting("run_key", "quickstart", "4 Run key")
FIRST = setting("first_release", "", "5 First release to compare (empty: the last but one)")
SECOND = setting("second_release", "", "6 Second release to compare (empty: the last)")

synthward.show_progress()  # one line a step, under the cell that runs
ward = synthward.open(spark, SITE)
request = ward.request(REQUEST, source=SOURCE or None)
scope = request.request.population.scope

# COMMAND ----------

# MAGIC %md
# MAGIC ## The budget, and every charge

# COMMAND ----------

account = ward.budget(scope)
print(f"scope {scope}: epsilon {account.epsilon_spent} spent, {account.remaining} left of {account.terms.max_epsilon}")
for line in ward.budget_history(scope):
    print(f"  {line.charge.seq} {line.charge.at} run {line.charge.run_id}: epsilon so far {line.epsilon}")
problems = ward.verify(scope)
print("the ledger is whole" if not problems else "\n".join(problems))

# COMMAND ----------

# MAGIC %md
# MAGIC ## How far the run has come

# COMMAND ----------

run_id = ward.plan(request, run_key=RUN_KEY).identity.run_id
links = ward.history(run_id)
for link in links:
    print(f"{link.seq} {link.at} {link.kind}")
for row in ward.runs.of(run_id):
    print(f"try {row['started_at']}: {row['status']}, exit code {row['code']}")
print(advice(links, charged=ward.is_charged(scope, run_id)))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Resuming
# MAGIC The same request under the same key: what is done is recognised, what is left is done, nothing is spent twice.

# COMMAND ----------

try:
    release = ward.run(request, run_key=RUN_KEY)
except Exception as error:  # noqa: BLE001 - the text of an error that is not Synthward's may quote a cell
    raise JobFailed.of(error) from None
print(f"release {release.release_id}: {'published now' if release.outcome.is_new else 'was published before'}")
task_value("release_id", release.release_id)
task_value("table", release.table)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Comparing two releases
# MAGIC From their manifests: what was promised, and per column how far the synthetic rows are from the noisy
# MAGIC measurements.

# COMMAND ----------

listed = [row["release_id"] for row in ward.releases(scope)]
chosen = [FIRST or (listed[-2] if len(listed) > 1 else listed[-1]), SECOND or listed[-1]]
first, second = (ward.manifest(release_id).body for release_id in chosen)
columns = [{c["column"]: c["tvd"] for c in body["quality"]["columns"]} for body in (first, second)]


def bar(value, colour):
    """A bar whose length is a distance between 0 and 1."""
    return f'<div style="background:{colour};height:8px;width:{max(1, round(400 * value))}px"></div>'


lines = [
    f"<tr><td>{html.escape(name)}</td><td>{bar(columns[0][name], '#888')}{bar(columns[1][name], '#36c')}</td>"
    f"<td>{columns[0][name]:.4f}</td><td>{columns[1][name]:.4f}</td></tr>"
    for name in columns[0]
    if name in columns[1]
]
heads = [f"{body['release_id']}<br>epsilon {body['guarantee']['epsilon']}" for body in (first, second)]
comparison = (
    f"<table><tr><th>column</th><th>distance (grey, blue)</th><th>{heads[0]}</th><th>{heads[1]}</th></tr>"
    f"{''.join(lines)}</table>"
)
show(comparison)
print(json.dumps({"compared": chosen, "columns": len(lines)}))
