"""What documents say of each other: selectors, names and ports, which no schema compares."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from local.chart.pods import Pod, at, pods, title
from local.chart.tools import Document

DEFAULT_ACCOUNT = "default"
Check = Callable[[Document, Sequence[Document], Sequence[Pod]], Iterator[str]]
"""Of one document, beside all documents and all pods."""


def check_references(documents: Sequence[Document]) -> Iterator[str]:
    """A sentence for each reference to something that the release does not have, and for each Secret in it."""
    every = list(pods(documents))
    for document in documents:
        problems = CHECKS.get(document["kind"], _nothing)(document, documents, every)
        yield from (f"{title(document)}: {problem}." for problem in problems)
    for pod in every:
        yield from (f"{pod.title}: {problem}." for problem in _account(pod, documents))
        yield from (f"{pod.title}: {problem}." for problem in _policy(pod, documents))


def _nothing(*_: object) -> Iterator[str]:
    return iter(())


def _secret(*_: object) -> Iterator[str]:
    yield "a chart holds no secrets: name one that exists"


def _service(document: Document, _: Sequence[Document], every: Sequence[Pod]) -> Iterator[str]:
    selected = _selected(at(document, "spec.selector"), every)
    if not selected:
        yield "its selector finds no pod"
    for port in at(document, "spec.ports"):
        if any(port["targetPort"] not in pod.ports for pod in selected):
            yield f"no port of its pods is named {port['targetPort']}"


def _autoscaler(document: Document, documents: Sequence[Document], _: Sequence[Pod]) -> Iterator[str]:
    target = at(document, "spec.scaleTargetRef")
    named = f"{target['kind']}/{target['name']}"
    scaled = [each for each in documents if title(each) == named]
    if not scaled:
        yield f"there is no {named}"
    elif "replicas" in scaled[0]["spec"]:
        yield f"{named} sets replicas, which would undo its work at each upgrade"


def _selecting(document: Document, _: Sequence[Document], every: Sequence[Pod]) -> Iterator[str]:
    if not _selected(at(document, "spec.selector.matchLabels"), every):
        yield "its selector finds no pod"


def _workload(document: Document, _: Sequence[Document], every: Sequence[Pod]) -> Iterator[str]:
    own = [pod for pod in every if pod.title == title(document)]
    if not _selected(at(document, "spec.selector.matchLabels"), own):
        yield "its selector does not find its own pods"


def _monitor(document: Document, documents: Sequence[Document], _: Sequence[Pod]) -> Iterator[str]:
    wanted = at(document, "spec.selector.matchLabels")
    services = [each for each in documents if each["kind"] == "Service" and _has(each["metadata"]["labels"], wanted)]
    if not services:
        yield "its selector finds no Service"
    ports = {port["name"] for each in services for port in each["spec"]["ports"]}
    for endpoint in at(document, "spec.endpoints"):
        if unknown := endpoint.keys() - ENDPOINT:
            yield f"an endpoint has no {', '.join(sorted(unknown))}"
        if endpoint.get("port") not in ports:
            yield f"no port of its Service is named {endpoint.get('port')}"


ENDPOINT = {"authorization", "interval", "path", "port"}
"""Those that we use; the operator's schema is not at hand."""

CHECKS: dict[str, Check] = {
    "Secret": _secret,
    "Service": _service,
    "HorizontalPodAutoscaler": _autoscaler,
    "PodDisruptionBudget": _selecting,
    "Deployment": _workload,
    "StatefulSet": _workload,
    "ServiceMonitor": _monitor,
}


def _account(pod: Pod, documents: Sequence[Document]) -> Iterator[str]:
    name = pod.spec.get("serviceAccountName", DEFAULT_ACCOUNT)
    if name != DEFAULT_ACCOUNT and f"ServiceAccount/{name}" not in map(title, documents):
        yield f"there is no ServiceAccount {name}"


def _policy(pod: Pod, documents: Sequence[Document]) -> Iterator[str]:
    policies = [at(each, "spec.podSelector.matchLabels") for each in documents if each["kind"] == "NetworkPolicy"]
    if policies and not any(_has(pod.labels, wanted) for wanted in policies):
        yield "no NetworkPolicy is for it"


def _selected(wanted: Mapping[str, str] | None, every: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in every if wanted and _has(pod.labels, wanted)]


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()
