"""The chart with each example, and manifests beside them: rendered, then checked document by document."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asof.errors import ConfigurationError
from local.chart.pods import pods, title
from local.chart.policies import check_pod
from local.chart.references import check_references
from local.chart.tools import Document, lint, read, render, tool, validate

CUSTOM = {"ServiceMonitor", "InferenceService"}
"""Kinds of operators, which Kubernetes' schemas do not have."""
PREDICTOR = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
"""What KServe's predictor has besides the fields of a pod; of these, what we use."""


def check_chart(
    folder: Path, example: str = "*", kubernetes: Sequence[str] = (), helm: Path | None = None
) -> tuple[int, list[str]]:
    """The number of documents, and their problems. An example is a file of values, or a manifest as it stands.

    Raises ConfigurationError where there is no such example, no helm, or nothing can be rendered.
    """
    helm = helm or tool("helm")
    files = sorted((folder / "examples").glob(f"{example}.yaml"))
    if not files:
        raise ConfigurationError(f"{folder / 'examples'} has no {example}.yaml.")
    count, problems = 0, list[str]()
    for file in files:
        content = read(file.read_text())
        if "kind" in content[0]:
            documents = content
        elif failed := lint(helm, folder / "asof", file):
            problems += failed
            continue
        else:
            documents = render(helm, folder / "asof", file, kubernetes[-1])
        count += len(documents)
        problems += (f"{file.name}: {problem}" for problem in _check(documents, kubernetes))
    return count, problems


def _check(documents: Sequence[Document], kubernetes: Sequence[str]) -> Iterator[str]:
    plain = [each for each in documents if each["kind"] not in CUSTOM]
    predictors = [_pod(each) for each in documents if each["kind"] == "InferenceService"]
    yield from validate([*plain, *predictors], kubernetes)
    for pod in pods(documents):
        yield from check_pod(pod)
    yield from check_references(documents)
    names = [title(each) for each in documents]
    yield from (f"{name} is there twice." for name in sorted({each for each in names if names.count(each) > 1}))


def _pod(service: Document) -> Document:
    """The pod of KServe's predictor, which has its fields beside KServe's own."""
    predictor = service["spec"]["predictor"]
    spec = {name: value for name, value in predictor.items() if name not in PREDICTOR}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": spec}
