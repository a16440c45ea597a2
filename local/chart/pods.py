"""The pods of rendered documents, and paths into them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.chart.tools import Document

TEMPLATES = {
    "Deployment": "spec.template",
    "StatefulSet": "spec.template",
    "Job": "spec.template",
    "CronJob": "spec.jobTemplate.spec.template",
}
SERVERS = {"Deployment", "StatefulSet", "InferenceService"}
"""Kinds whose pods run until they are ended."""


@dataclass(frozen=True)
class Pod:
    """What a document makes pods of; `claims` are the volumes that a StatefulSet adds."""

    title: str
    kind: str
    labels: Mapping[str, str]
    spec: Document
    claims: frozenset[str] = frozenset()

    @property
    def serves(self) -> bool:
        return self.kind in SERVERS

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def ports(self) -> set[str]:
        """The names of its ports."""
        return {port["name"] for each in self.containers for port in each.get("ports", ()) if "name" in port}


def pods(documents: Iterable[Document]) -> Iterator[Pod]:
    for document in documents:
        kind = document["kind"]
        if kind in TEMPLATES:
            template = at(document, TEMPLATES[kind])
            claims = at(document, "spec.volumeClaimTemplates") or ()
            names = frozenset(claim["metadata"]["name"] for claim in claims)
            yield Pod(title(document), kind, at(template, "metadata.labels") or {}, template["spec"], names)
        elif kind == "InferenceService":
            yield Pod(title(document), kind, {}, document["spec"]["predictor"])


def title(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def at(document: Any, path: str) -> Any:
    """The member at a path such as `spec.template`, or None."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
