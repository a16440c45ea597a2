"""Rows -> metrics of Prometheus. History is Prometheus's own: only the newest window of each subject is exported."""

import logging
from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import psycopg
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.exporter.reading import Connection, Exported, NewestFigure, read

log = logging.getLogger(__name__)

FIGURE = ("use_case", "version", "subject", "metric", "about")
BOUNDS = ("value", "low", "high")
VERDICTS = {"too-few": -1, "ok": 0, "notice": 1, "alarm": 2}
"""Values of asof_monitor_verdict."""


class MonitoringCollector(Collector):
    """Reads the tables at each scrape, over a connection of its own; several at once wait for each other."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._last = Exported()
        self._up: bool | None = None
        self._lock = Lock()

    def describe(self) -> list[Metric]:
        """Nothing: so the registry does not scrape when the collector is added."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything, or `asof_monitor_database_up 0` alone where the database does not answer."""
        with self._lock:
            up = self._read()
            exported = self._last
        yield GaugeMetricFamily("asof_monitor_database_up", "1: the tables of monitoring could be read.", up)
        if up:
            yield from metrics_of(exported)

    def _read(self) -> bool:
        try:
            with self._connect() as connection:
                self._last = read(connection, self._last)
        except psycopg.Error as error:
            if self._up is not False:
                log.warning("the tables of monitoring cannot be read: %s", str(error).strip().splitlines()[:1])
            self._up = False
        else:
            if self._up is False:
                log.info("the tables of monitoring are read again")
            self._up = True
        return self._up


def metrics_of(exported: Exported) -> Iterator[Metric]:
    """Figures, windows, runs and alerts."""
    yield from _figures(exported.figures)
    yield from _runs(exported)
    still_open = GaugeMetricFamily("asof_alerts_open", "Open alerts.", labels=("use_case", "severity", "rule"))
    opened = CounterMetricFamily("asof_alerts", "Alerts that were opened.", labels=("use_case", "severity", "rule"))
    for each in exported.alerts:
        labels = (each.use_case, each.severity, each.rule)
        still_open.add_metric(labels, each.still_open)
        opened.add_metric(labels, each.opened)
    yield from (still_open, opened)


def _figures(figures: Sequence[NewestFigure]) -> Iterator[Metric]:
    of = "of a figure of monitoring, in the newest window of its subject."
    numbers = {
        "value": GaugeMetricFamily("asof_monitor_value", f"Value {of}", labels=FIGURE),
        "low": GaugeMetricFamily("asof_monitor_low", f"Lower end of the 95 % interval {of}", labels=FIGURE),
        "high": GaugeMetricFamily("asof_monitor_high", f"Upper end of the 95 % interval {of}", labels=FIGURE),
        "n": GaugeMetricFamily("asof_monitor_rows", f"Rows {of}", labels=FIGURE),
    }
    meaning = ", ".join(f"{number}: {name}" for name, number in VERDICTS.items())
    verdicts = GaugeMetricFamily("asof_monitor_verdict", f"Verdict ({meaning}) {of}", labels=FIGURE)
    for each in figures:
        labels = tuple(getattr(each, name) for name in FIGURE)
        for name, family in numbers.items():
            if (number := getattr(each, name)) is not None:
                family.add_metric(labels, number)
        verdicts.add_metric(labels, VERDICTS[each.verdict])
    yield from (*numbers.values(), verdicts, _promotions(figures), _windows(figures))


def _promotions(figures: Sequence[NewestFigure]) -> Metric:
    labels = ("use_case", "version", "metric", "bound")
    family = GaugeMetricFamily(
        "asof_monitor_promotion", "The same metric at promotion, with its interval.", labels=labels
    )
    for each in figures:
        if each.promotion and len(each.promotion) == len(BOUNDS):
            for bound, number in zip(BOUNDS, each.promotion, strict=True):
                if number is not None:
                    family.add_metric((each.use_case, each.version, each.metric, bound), number)
    return family


def _windows(figures: Sequence[NewestFigure]) -> Metric:
    help_ = "The newest window (its as_of) that has figures on the subject."
    family = GaugeMetricFamily("asof_monitor_window_timestamp_seconds", help_, labels=("use_case", "subject"))
    for (use_case, subject), as_of in {(each.use_case, each.subject): each.as_of for each in figures}.items():
        family.add_metric((use_case, subject), as_of.timestamp())
    return family


def _runs(exported: Exported) -> Iterator[Metric]:
    labels = ("use_case", "kind")
    finished = GaugeMetricFamily("asof_monitor_run_timestamp_seconds", "When the newest run finished.", labels=labels)
    answers = GaugeMetricFamily("asof_monitor_run_answers", "Answers that the newest run read.", labels=labels)
    for each in exported.runs:
        finished.add_metric((each.use_case, each.kind), each.finished_at.timestamp())
        answers.add_metric((each.use_case, each.kind), each.answers)
    yield from (finished, answers)
