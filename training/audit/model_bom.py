"""A version as a bill of materials: the model with its card, and the data that it learned from, by digest.

CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/: what the SBOM of `make sbom` does not have.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from asof import __version__
from asof.extracts.cadence import moment_text
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.targets import Multiclass, Regression
from asof.targets.tensors import tensors
from asof.use_case import UseCase
from training.audit.lineage.loads import Load
from training.audit.lineage.training_set import SetOrigin, set_origin
from training.release.registry.versions import ModelVersion

Json = dict[str, Any]
MODEL, TRAINING_SET = "model", "training-set"
"""The references of these components."""
LIMITS = (
    "Features that are null, absent or too old for their view's policy are refused, not imputed.",
    "Values outside the range of the training rows are used and flagged.",
)


def model_bom(settings: Settings, use_case: UseCase, version: ModelVersion) -> Json:
    """The document; the same for the same version and the same loads."""
    origin = set_origin(settings, use_case, version.facts)
    data = [_training_set(version.facts, origin), *map(_file, _loads(origin))]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{version.name}/{version.version}/{version.run_id}')}",
        "version": 1,
        "metadata": {"tools": {"components": [{"type": "application", "name": "asof", "version": __version__}]}},
        "components": [_model(use_case, version), *data],
        "dependencies": [
            {"ref": MODEL, "dependsOn": [TRAINING_SET]},
            {"ref": TRAINING_SET, "dependsOn": [each["bom-ref"] for each in data[1:]]},
        ],
    }


def _model(use_case: UseCase, version: ModelVersion) -> Json:
    facts = version.facts
    digest = {"hashes": [_sha256(facts.model_digest)]} if facts.model_digest else {}
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": version.name,
        "version": version.version,
        "description": use_case.title,
        **digest,
        "modelCard": {
            "modelParameters": _parameters(use_case, facts),
            "quantitativeAnalysis": {"performanceMetrics": list(_metrics(version.metrics))},
            "considerations": {"useCases": [use_case.title], "technicalLimitations": list(LIMITS)},
        },
        "properties": _properties(
            run_id=version.run_id,
            fingerprint=facts.fingerprint,
            as_of=moment_text(facts.as_of),
            known_at=moment_text(facts.known_at),
            git_commit=facts.code_version,
            threshold=None if facts.threshold is None else f"{facts.threshold:g}",
            feature_service=facts.contract.feature_service or None,
        ),
    }


def _parameters(use_case: UseCase, facts: ModelFacts) -> Json:
    task = {Multiclass: "multiclass classification", Regression: "regression"}
    return {
        "approach": {"type": "supervised"},
        "task": task.get(type(use_case.target), "binary classification"),
        "modelArchitecture": facts.estimator,
        "datasets": [{"ref": TRAINING_SET}],
        "inputs": [{"format": f"{each.name}: {each.dtype}"} for each in facts.contract.features],
        "outputs": [{"format": f"{each.name}: {each.datatype}"} for each in tensors(use_case.target)],
    }


def _metrics(metrics: Mapping[str, float]) -> Iterator[Json]:
    """Of the held-out rows, with the 95 % interval where it was computed."""
    for name, value in sorted(metrics.items()):
        if name.endswith(("_low", "_high")):
            continue
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        interval = {} if low is None or high is None else {"lowerBound": f"{low:g}", "upperBound": f"{high:g}"}
        yield {"type": name, "value": f"{value:g}"} | ({"confidenceInterval": interval} if interval else {})


def _training_set(facts: ModelFacts, origin: SetOrigin) -> Json:
    hashes = {"hashes": [_sha256(facts.rows_digest)]} if facts.rows_digest else {}
    return {
        "type": "data",
        "bom-ref": TRAINING_SET,
        "name": f"training set of {facts.use_case}",
        "version": moment_text(facts.as_of),
        **hashes,
        "data": [{"type": "dataset", "name": f"rows as of {moment_text(facts.as_of)}"}],
        "properties": _properties(rows=str(origin.rows), contract_digest=origin.contract_digest),
    }


def _loads(origin: SetOrigin) -> list[Load]:
    """The loads whose rows are in the training set, each once."""
    every = (share.load for source in origin.sources for share in source.shares)
    found = {(each.load_id, each.file): each for each in every if each is not None}
    return [found[key] for key in sorted(found)]


def _file(load: Load) -> Json:
    return {
        "type": "data",
        "bom-ref": f"load-{load.load_id}-{load.file}",
        "name": load.file,
        "version": moment_text(load.as_of),
        "hashes": [_sha256(load.sha256)],
        "data": [{"type": "dataset", "name": load.file}],
        "properties": _properties(known_at=moment_text(load.known_at), rows=str(load.rows), server=load.server),
    }


def _sha256(digest: str) -> Json:
    return {"alg": "SHA-256", "content": digest}


def _properties(**values: str | None) -> list[Json]:
    return [{"name": f"asof:{name}", "value": value} for name, value in values.items() if value is not None]
