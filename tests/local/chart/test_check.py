"""The Helm chart passes its checks, and each of the mistakes below is named when it is planted in a copy."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from asof import __version__
from asof.settings import PROJECT, Settings
from local.chart.__main__ import HELM, VERSIONS
from local.chart.check import check_chart
from local.chart.pods import pods
from local.chart.tools import Document, read, render, tool
from local.stack.stack_secrets import make_secrets
from tests.repository.test_documents import parse

PAGE = PROJECT / "docs" / "operations" / "kubernetes.md"
PARTS, WORKLOAD = "asof/templates/_parts.tpl", "asof/templates/prediction/workload.yaml"
SCALING, SERVICE = "asof/templates/prediction/scaling.yaml", "asof/templates/prediction/service.yaml"
JOBS, EXPORTER = "asof/templates/hooks/jobs.yaml", "asof/templates/offline/exporter.yaml"
POLICIES, MONITORS = "asof/templates/network-policies.yaml", "asof/templates/service-monitors.yaml"
SMALL, KSERVE = "examples/small.yaml", "examples/kserve.yaml"
ADDRESS = '{{ include "asof.secret" (list "ASOF_POSTGRES_URL" .Values.secrets.serving) }}'
REGISTRY = '{{ include "asof.secret" (list "ASOF_REGISTRY_URL" .Values.secrets.serving) }}'
READY = (
    "readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 4, failureThreshold: 2}"
)
EXPORTERS = '"asof.selector" (list $ "exporter")'

MISTAKES = {
    "kserve": [
        ("a field that KServe has not", KSERVE, "scaleTarget: 70", "scaleTargets: 70", "'scaleTargets' was unexpected"),
        ("the latest image", KSERVE, "asof-prediction:0.1.0", "asof-prediction:latest", "an image without a version"),
    ],
    "large": [
        ("no such workload", SCALING, '"StatefulSet" "Deployment"', '"Deployment" "StatefulSet"', "there is no Deploy"),
        ("no such pod", SCALING, '"prediction") | nindent 6', '"predict") | nindent 6', "its selector finds no pod"),
        ("a monitor's unknown field", MONITORS, "interval: 15s", "intervall: 15s", "has no intervall"),
        ("a monitor's unknown port", MONITORS, "- port: http", "- port: web", "is named web"),
        ("a spool of nobody", WORKLOAD, "{name: spool}", "{name: spools}", "mounts spool, which is no volume"),
    ],
    "small": [
        ("an unknown field", WORKLOAD, "  revisionHistoryLimit: 3", "  replica: 3", "'replica' was unexpected"),
        ("a field of the wrong type", JOBS, "backoffLimit: 3", "backoffLimit: three", "'three' is not of type"),
        ("a literal secret", WORKLOAD, REGISTRY, '- {name: ASOF_REGISTRY_URL, value: "x"}', "is a secret in the text"),
        ("no address of the database", WORKLOAD, ADDRESS, "", "reads no address of its database"),
        ("a Secret in the chart", EXPORTER, "kind: Service\n", "kind: Secret\n", "a chart holds no secrets"),
        ("root", PARTS, "runAsUser: 1034", "runAsUser: 0", "runs as root: set runAsUser"),
        ("perhaps root", PARTS, "runAsNonRoot: true", "runAsNonRoot: false", "may run as root: set"),
        ("root by a container", PARTS, "capabilities:", "runAsUser: 0\n  capabilities:", "remove its runAsUser"),
        ("no seccomp profile", PARTS, "RuntimeDefault", "Unconfined", "has no seccomp profile"),
        ("a writable image", PARTS, "RootFilesystem: true", "RootFilesystem: false", "can write to its image"),
        ("more privileges", PARTS, "Escalation: false", "Escalation: true", "may gain privileges"),
        ("a privileged container", PARTS, "capabilities:", "privileged: true\n  capabilities:", "is privileged"),
        ("capabilities", PARTS, "drop: [ALL]", "drop: [ALL], add: [NET_ADMIN]", "has capabilities"),
        ("a token", PARTS, "ServiceAccountToken: false", "ServiceAccountToken: true", "gets a token"),
        ("variables of Services", PARTS, "ServiceLinks: false", "ServiceLinks: true", "may be read as a setting"),
        ("no readiness probe", WORKLOAD, READY, "", "has ports and no readinessProbe"),
        ("no liveness probe", WORKLOAD, "livenessProbe: #", "readinessProbe: #", "has no livenessProbe"),
        ("no limit", WORKLOAD, "resources: {{ toJson .Values.resources }}", "", "has no limit of memory"),
        ("an image without a tag", WORKLOAD, "{{ .Values.image | quote }}", "asof", "has an image without a version"),
        (
            "a folder of the node",
            WORKLOAD,
            "emptyDir: {sizeLimit: 1Gi}",
            "hostPath: {path: /tmp}",
            "hostPath is none of",
        ),
        ("a volume without a limit", WORKLOAD, "emptyDir: {sizeLimit: 4Gi}", "emptyDir: {}", "may fill its node"),
        ("an unknown volume", WORKLOAD, "- {name: tmp, mountPath", "- {name: temp, mountPath", "mounts temp"),
        ("another port", SERVICE, "targetPort: http", "targetPort: web", "no port of its pods is named web"),
        ("no account", SERVICE, "name: {{ .Release.Name }}\n", "name: x\n", "there is no ServiceAccount asof"),
        ("no policy", POLICIES, EXPORTERS, '"asof.selector" (list $ "x")', "no NetworkPolicy is for it"),
    ],
}
"""By the example that shows them. All of an example are planted together, and each must be named."""

WRONG_VALUES = [
    ("an unknown value", "replica: 3", "'replica' not allowed"),
    ("a value of the wrong type", 'replicas: "3"', "'/replicas': got string, want integer"),
    ("no Secret", "secrets: {serving: null}", "missing property 'serving'"),
    ("a secret among the settings", "settings: {ASOF_LEDGER_URL: x}", "invalid propertyName 'ASOF_LEDGER_URL'"),
    ("a password in an address", 'mlflow: {url: "http://a:b@mlflow:5000"}', "'/mlflow/url'"),
    ("no limit", "resources: {limits: null}", "missing property 'limits'"),
    ("the latest image", "image: registry.example/asof-prediction:latest", "'/image': 'not' failed"),
    ("no time to end", "terminationGracePeriodSeconds: 9", "want 30"),
]
UNRENDERED = [
    ("a removed kind", SCALING, "policy/v1\n", "policy/v1beta1\n", "unavailable in v1.25+"),
    ("a broken template", WORKLOAD, "volume.persistent -}}", "volume.persistent.x -}}", "can't evaluate field x"),
]


@pytest.fixture(scope="module", autouse=True)
def helm() -> Path:
    """That of the environment, which `make chart` makes, too."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(["make", ".venv-kubernetes/.complete"], cwd=PROJECT, env=clean, check=True)
    return tool("helm")


def test_every_example_is_valid() -> None:
    """For all versions by `make chart`."""
    count, problems = check_chart(HELM, kubernetes=["1.31"])
    assert problems == []
    assert count > 30


def planted(folder: Path, file: str, right: str, wrong: str) -> None:
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HELM, tmp_path / "helm"))


@pytest.mark.parametrize("example", MISTAKES)
def test_each_mistake_is_named(copied: Path, example: str) -> None:
    for _, file, right, wrong, _ in MISTAKES[example]:
        planted(copied, file, right, wrong)
    _, problems = check_chart(copied, example, ["1.31"])
    text = "\n".join(problems)
    assert [mistake for mistake, *_, said in MISTAKES[example] if said not in text] == [], text


def test_each_wrong_value_is_named(copied: Path) -> None:
    values = yaml.safe_load((copied / SMALL).read_text())
    for _, wrong, _ in WRONG_VALUES:
        values |= yaml.safe_load(wrong)
    (copied / SMALL).write_text(yaml.safe_dump(values))
    _, problems = check_chart(copied, "small", ["1.31"])
    text = "\n".join(problems)
    assert [mistake for mistake, _, said in WRONG_VALUES if said not in text] == [], text


@pytest.mark.parametrize("mistake", UNRENDERED, ids=lambda each: each[0])
def test_a_chart_that_cannot_be_rendered_is_refused(copied: Path, mistake: tuple[str, ...]) -> None:
    _, file, right, wrong, said = mistake
    planted(copied, file, right, wrong)
    _, problems = check_chart(copied, "large", ["1.31"])
    assert said in "\n".join(problems)


def documents(helm: Path, example: str) -> list[Document]:
    return render(helm, HELM / "asof", HELM / "examples" / f"{example}.yaml", VERSIONS[-1])


def variables(every: list[Document]) -> list[Document]:
    """Of all containers."""
    return [each for pod in pods(every) for container in pod.containers for each in container["env"]]


@pytest.mark.parametrize("example", ["small", "large"])
def test_every_variable_of_ours_is_a_setting(helm: Path, example: str) -> None:
    known = {f"ASOF_{name.upper()}" for name in Settings.model_fields}
    names = {each["name"] for each in variables(documents(helm, example))}
    assert {name for name in names if name.startswith("ASOF_")} <= known


def test_the_page_names_each_key_of_each_secret(helm: Path) -> None:
    every = [*documents(helm, "small"), *documents(helm, "large")]
    rows = {row.split("`")[1]: row for row in PAGE.read_text().splitlines() if row.startswith("| `asof-")}
    keys = [each["valueFrom"]["secretKeyRef"] for each in variables(every) if "valueFrom" in each]
    assert [each for each in keys if each["key"] not in rows.get(each["name"], "")] == []
    assert {each["name"] for each in keys} | {"asof-api-keys", "asof-metrics"} == rows.keys()


KUBECTL = """#!/bin/sh
'{}' "$@" --dry-run=client -o yaml && echo ---
"""


def test_the_page_creates_each_secret_that_the_chart_reads(helm: Path, tmp_path: Path) -> None:
    """By its own commands, and kubectl without a cluster."""
    make_secrets(tmp_path)
    for name, text in {"make": "#!/bin/sh\n", "kubectl": KUBECTL.format(tool("kubectl"))}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    blocks = re.findall(r"^```shell\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "create namespace" in block)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(["sh", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    created = {each["metadata"]["name"]: each["data"] for each in read(done.stdout) if each["kind"] == "Secret"}
    every = documents(helm, "small")
    assert {(name, key) for name, keys in created.items() for key in keys} == {
        *(
            (each["valueFrom"]["secretKeyRef"]["name"], each["name"])
            for each in variables(every)
            if "valueFrom" in each
        ),
        ("asof-api-keys", "api-keys"),
        ("asof-metrics", "METRICS_KEY"),
    }
    assert all(value for keys in created.values() for value in keys.values())


def test_the_commands_of_the_stages_exist(helm: Path) -> None:
    stages = read((HELM / SMALL).read_text())[0]["stages"].values()
    commands = [stage["command"] for stage in stages if stage["command"][2] == "flows"]
    assert len(commands) == 3
    for command in commands:
        parse(command[3:])


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((HELM / "asof" / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
