"""Run events of OpenLineage as plain JSON. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from asof import __version__

PRODUCER = f"urn:asof:{__version__}"
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = "https://openlineage.io/spec/facets"
JOBS = "asof"
"""The namespace of our jobs."""

Json = dict[str, Any]


class EventType(StrEnum):
    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


@dataclass(frozen=True)
class Dataset:
    """A dataset by OpenLineage's naming: `version` is a digest or a number of its content, `rows` what a run wrote."""

    namespace: str
    name: str
    version: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Datasets:
    """What a run read and wrote."""

    inputs: Sequence[Dataset] = ()
    outputs: Sequence[Dataset] = ()


@dataclass(frozen=True)
class Run:
    """A run of a stage for a use case."""

    id: UUID
    stage: str
    use_case: str

    @property
    def job(self) -> str:
        return f"{self.use_case}.{self.stage}"


@dataclass(frozen=True)
class Event:
    """A state of a run; `error` is why it failed."""

    type: EventType
    run: Run
    at: datetime
    datasets: Datasets = field(default_factory=Datasets)
    error: str | None = None

    def to_json(self) -> Json:
        """The event as OpenLineage's RunEvent."""
        return {
            "eventType": self.type.value,
            "eventTime": self.at.isoformat(),
            "producer": PRODUCER,
            "schemaURL": SPEC,
            "run": {"runId": str(self.run.id), "facets": self._run_facets()},
            "job": {"namespace": JOBS, "name": self.run.job, "facets": {"jobType": _JOB_TYPE}},
            "inputs": [_dataset(each) for each in self.datasets.inputs],
            "outputs": [_output(each) for each in self.datasets.outputs],
        }

    def _run_facets(self) -> Json:
        engine = _facet("1-1-1/ProcessingEngineRunFacet", name="AsOf", version=__version__)
        if self.error is None:
            return {"processing_engine": engine}
        error = _facet("1-0-1/ErrorMessageRunFacet", message=self.error, programmingLanguage="Python")
        return {"processing_engine": engine, "errorMessage": error}


def _facet(schema: str, **members: Any) -> Json:
    name = schema.rpartition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}/{schema}.json#/$defs/{name}", **members}


_JOB_TYPE: Mapping[str, Any] = _facet(
    "2-0-4/JobTypeJobFacet", processingType="BATCH", integration="ASOF", jobType="STAGE"
)


def _dataset(dataset: Dataset) -> Json:
    version = _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=dataset.version)
    facets = {"version": version} if dataset.version else {}
    return {"namespace": dataset.namespace, "name": dataset.name, "facets": facets}


def _output(dataset: Dataset) -> Json:
    if dataset.rows is None:
        return _dataset(dataset)
    statistics = _facet("1-0-2/OutputStatisticsOutputDatasetFacet", rowCount=dataset.rows)
    return {**_dataset(dataset), "outputFacets": {"outputStatistics": statistics}}
