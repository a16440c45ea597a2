"""Rules for each pod that Kubernetes' schemas do not have.

Confinement is that of Pod Security's level `restricted`
(https://kubernetes.io/docs/concepts/security/pod-security-standards/), and a read-only root file system.
"""

import re
from collections.abc import Callable, Iterator

from local.chart.pods import Pod, at
from local.chart.tools import Document

SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|HEADERS|_URLS?(_|$)|_KEY(_TEXT)?$")
PUBLIC = {"ASOF_RATE_PER_KEY", "MLFLOW_TRACKING_URI"}
CREDENTIALS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
VOLUMES = {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
MINIMUM_GRACE_SECONDS = 30
"""Of the preStop hook, the service's eight seconds and the shipper."""
DATABASES = {"ASOF_POSTGRES_URL", "ASOF_ADMIN_POSTGRES_URL"}

Rule = tuple[Callable[[Document], bool], str]

POD_RULES: tuple[Rule, ...] = (
    (lambda pod: at(pod, "securityContext.runAsNonRoot") is True, "may run as root: set runAsNonRoot"),
    (lambda pod: (at(pod, "securityContext.runAsUser") or 0) > 0, "runs as root: set runAsUser"),
    (
        lambda pod: at(pod, "securityContext.seccompProfile.type") == "RuntimeDefault",
        "has no seccomp profile: set RuntimeDefault",
    ),
    (lambda pod: pod.get("automountServiceAccountToken") is False, "gets a token of the API: automount none"),
    (
        lambda pod: pod.get("enableServiceLinks") is False,
        "gets a variable for each Service, which may be read as a setting: set enableServiceLinks to false",
    ),
    (
        lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        "shares a namespace with its node",
    ),
)
SERVER_RULES: tuple[Rule, ...] = (
    (
        lambda pod: pod.get("terminationGracePeriodSeconds", MINIMUM_GRACE_SECONDS) >= MINIMUM_GRACE_SECONDS,
        "has no time to finish requests and to ship answers: set terminationGracePeriodSeconds to 30 or more",
    ),
)
CONTAINER_RULES: tuple[Rule, ...] = (
    (
        lambda each: at(each, "securityContext.allowPrivilegeEscalation") is False,
        "may gain privileges: set allowPrivilegeEscalation to false",
    ),
    (lambda each: not at(each, "securityContext.privileged"), "is privileged"),
    (lambda each: at(each, "securityContext.runAsUser") != 0, "runs as root: remove its runAsUser"),
    (lambda each: at(each, "securityContext.runAsNonRoot") is not False, "may run as root: remove its runAsNonRoot"),
    (
        lambda each: at(each, "securityContext.readOnlyRootFilesystem") is True,
        "can write to its image: set readOnlyRootFilesystem",
    ),
    (
        lambda each: at(each, "securityContext.capabilities") == {"drop": ["ALL"]},
        "has capabilities: drop ALL, and add none",
    ),
    (
        lambda each: at(each, "resources.limits.memory") is not None,
        "has no limit of memory: set resources.limits.memory",
    ),
    (
        lambda each: {"cpu", "memory"} <= (at(each, "resources.requests") or {}).keys(),
        "requests no CPU or memory, so that no autoscaler and no scheduler can count it",
    ),
    (
        lambda each: bool(re.search(r"(@sha256:[0-9a-f]{64}|:(?!latest$)[\w.-]+)$", each["image"])),
        "has an image without a version: name a tag other than latest, or a digest",
    ),
    (
        lambda each: any(name["name"] in DATABASES and "valueFrom" in name for name in each.get("env", ())),
        "reads no address of its database from a Secret",
    ),
)
SERVING_RULES: tuple[Rule, ...] = (
    (lambda each: "livenessProbe" in each, "has no livenessProbe"),
    (lambda each: "readinessProbe" in each or not each.get("ports"), "has ports and no readinessProbe"),
)


def check_pod(pod: Pod) -> Iterator[str]:
    """A sentence for each rule that the pod breaks."""
    for fulfils, problem in (*POD_RULES, *(SERVER_RULES if pod.serves else ())):
        if not fulfils(pod.spec):
            yield f"{pod.title}: {problem}."
    for each in pod.containers:
        problems = [*_broken(pod, each), *_literal_secrets(each), *_mounts(pod, each)]
        yield from (f"{pod.title}, container {each['name']}: {problem}." for problem in problems)
    yield from (
        f"{pod.title}, volume {each['name']}: {problem}." for each in _volumes(pod) for problem in _volume(each)
    )


def _broken(pod: Pod, container: Document) -> Iterator[str]:
    rules = (*CONTAINER_RULES, *(SERVING_RULES if pod.serves else ()))
    return (problem for fulfils, problem in rules if not fulfils(container))


def _literal_secrets(container: Document) -> Iterator[str]:
    for each in container.get("env", ()):
        name, value = each["name"], str(each.get("value", ""))
        if CREDENTIALS.search(value) or (value and SECRET_NAME.search(name) and name not in PUBLIC):
            yield f"{name} is a secret in the text: name a Secret and its key"
        if at(each, "valueFrom.secretKeyRef.optional"):
            yield f"{name} may be missing: no secret is optional"
    words = [*container.get("command", ()), *container.get("args", ())]
    if any(CREDENTIALS.search(word) for word in words):
        yield "its command holds a password: name a Secret and its key"
    if "envFrom" in container:
        yield "it takes every key of a Secret: name each variable"


def _mounts(pod: Pod, container: Document) -> Iterator[str]:
    known = {volume["name"] for volume in _volumes(pod)} | pod.claims
    for mount in container.get("volumeMounts", ()):
        if mount["name"] not in known:
            yield f"it mounts {mount['name']}, which is no volume of the pod"


def _volumes(pod: Pod) -> list[Document]:
    return list(pod.spec.get("volumes", ()))


def _volume(volume: Document) -> Iterator[str]:
    kinds = volume.keys() - {"name"}
    if not kinds <= VOLUMES:
        yield f"{', '.join(sorted(kinds - VOLUMES))} is none of {', '.join(sorted(VOLUMES))}"
    if "emptyDir" in kinds and not at(volume, "emptyDir.sizeLimit"):
        yield "it may fill its node: set sizeLimit"
