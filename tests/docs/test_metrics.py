"""docs/metrics.md lists each metric; alerts and the dashboard use no other; promtool takes them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tables import DOCS, sections, table

from zreg.http.metrics.metric_table import OF_ALL, OF_DATA, OF_META, OF_SESSION, OTHERS, Metric

PAGE = (DOCS / "metrics.md").read_text()
MONITORING = DOCS / "monitoring"
METRICS = (*OF_ALL, *OF_SESSION, *OF_DATA, *OF_META)
NAMES = {metric.name for metric in METRICS} | {name for name, _, _ in OTHERS}
# Of the Prometheus library, and of Prometheus itself.
FOREIGN = re.compile(r"process_\w+|up")
HEADINGS = {
    "Metrics of every node": OF_ALL,
    "Metrics of a session": OF_SESSION,
    "Metrics of a data node": OF_DATA,
    "Metrics of a meta node": OF_META,
}

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: install the package prometheus of Debian",
)


def rows_of(metrics: tuple[Metric, ...]) -> set[tuple[str, str, str, str]]:
    """Return the rows that the page must have: one for each name, with all its labels."""
    labels: dict[str, list[tuple[str, str]]] = {}
    for metric in metrics:
        labels.setdefault(metric.name, [])
        if metric.label is not None:
            labels[metric.name].append(metric.label)
    return {
        (
            metric.name,
            metric.kind.value,
            ", ".join(sorted({name for name, _ in labels[metric.name]}))
            + "".join(f" {value}" for _, value in labels[metric.name]),
            metric.meaning,
        )
        for metric in metrics
    }


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_page_lists_each_metric_with_its_labels_and_meaning(heading: str) -> None:
    others = {name for name, _, _ in OTHERS}
    found = {
        (name, kind, re.sub(r"[`,:]", "", labels).strip(), meaning)
        for name, kind, labels, meaning in table(heading, PAGE)
        if name not in others
    }

    assert found == {(*row[:2], row[2].strip(), row[3]) for row in rows_of(HEADINGS[heading])}


def test_the_page_lists_what_is_no_statistic() -> None:
    found = {
        (name, kind, meaning)
        for heading in HEADINGS
        for name, kind, _, meaning in table(heading, PAGE)
        if name in {name for name, _, _ in OTHERS}
    }

    assert found == {(name, kind.value, meaning) for name, kind, meaning in OTHERS}
    assert set(HEADINGS) <= set(sections(PAGE))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.statistic)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"zreg_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind.value == "counter")
    assert not metric.meaning.endswith(".")


def metrics_in(expression: str) -> set[str]:
    """Return the names of metrics in an expression, without functions and labels."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", expression)
    words = re.findall(r"[a-z_]+(?=\b)(?!\s*\()", bare)
    return {word for word in words if word not in {"or", "and", "by", "code"}}


def test_alerts_use_metrics_that_exist() -> None:
    text = (MONITORING / "alerts.yml").read_text()
    expressions = re.findall(r"^ +expr: (.+)$", text, re.MULTILINE)

    assert len(expressions) == text.count("- alert:") > 10
    for expression in expressions:
        assert {
            name for name in metrics_in(expression) - NAMES if not FOREIGN.fullmatch(name)
        } == set(), expression


def test_the_dashboard_uses_metrics_that_exist() -> None:
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]

    assert len(expressions) > 15
    for expression in expressions:
        found = metrics_in(expression)
        assert found, expression
        assert {name for name in found - NAMES if not FOREIGN.fullmatch(name)} == set(), expression


@promtool
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alert_cases.yml")]
)
def test_promtool_takes_the_alert_rules(arguments: tuple[str, ...]) -> None:
    run = subprocess.run(
        ["promtool", *arguments],
        cwd=Path(MONITORING),
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
