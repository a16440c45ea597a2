"""The version in Production -> the model in BentoML's store, and the Bento that serves it. Nothing is made twice."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asof.errors import ModelError
from asof.settings import PROJECT, Settings
from asof.use_case import UseCase
from training.register import ModelVersion, production
from training.tracking import open_tracking

BENTOFILE = PROJECT / "bentofile.yaml"


@dataclass(frozen=True)
class Bundle:
    """Tags of BentoML's stores, the registry's version inside, and whether the Bento was built just now."""

    model_tag: str
    bento_tag: str
    version: str
    created: bool


def bundle(settings: Settings, use_case: UseCase, version: ModelVersion | None = None) -> Bundle:
    """Imports the version (default: the one in Production) and builds its Bento, where they do not exist yet.

    The tags follow from the version and the packaged sources: same input, same tags. `NAME:latest` is this Bento
    afterwards, even where a newer one exists. Raises ModelError where nothing
    is in Production.
    """
    chosen = version or production(settings, use_case)
    if chosen is None:
        raise ModelError(f"No version of {use_case.model_name} is in Production: run `python -m flows retrain` first.")
    if chosen.facts.use_case != use_case.name:
        raise ModelError(f"{chosen.name} version {chosen.version} is a model of {chosen.facts.use_case!r}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec, importlib and pydantic
        model_tag = _import_model(settings, chosen)
        bento_tag = f"{use_case.model_name}:{model_tag.partition(':')[2]}-{_sources_digest()[:8]}"
        created = _build(use_case, model_tag, bento_tag)
        _make_latest(bento_tag)
    return Bundle(model_tag, bento_tag, chosen.version, created)


def _import_model(settings: Settings, version: ModelVersion) -> str:
    import bentoml

    tag = f"{version.name}:v{version.version}-{version.run_id[:8]}"
    if not _exists(bentoml.models, tag):
        open_tracking(settings)
        lineage = _lineage(version)
        uri = f"models:/{version.name}/{version.version}"
        bentoml.mlflow.import_model(tag, uri, labels=lineage, metadata=lineage)
    return tag


def _lineage(version: ModelVersion) -> dict[str, str]:
    facts = version.facts
    return {
        "name": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "fingerprint": facts.fingerprint,
        "feature_service": facts.contract.feature_service,
        "as_of": facts.as_of.isoformat(),
        "git_commit": facts.git_commit,
    }


def _build(use_case: UseCase, model_tag: str, bento_tag: str) -> bool:
    import bentoml

    if _exists(bentoml.bentos, bento_tag):
        return False
    arguments = {"use_case": use_case.name, "model": model_tag}
    # `reload`: another Bento may have been built in this process, from the same service.py.
    bentoml.bentos.build_bentofile(
        str(BENTOFILE), version=bento_tag.partition(":")[2], build_ctx=str(PROJECT), args=arguments, reload=True
    )
    return True


def _make_latest(bento_tag: str) -> None:
    """`NAME:latest` becomes this Bento: after a rollback the last one built is not the one that is meant.

    BentoML keeps the version in a file `latest` beside the Bentos of a name, and writes it only when it builds one.
    """
    import bentoml

    bento = bentoml.bentos.get(bento_tag)
    (Path(bento.path).parent / "latest").write_text(str(bento.tag.version))


def _exists(store: Any, tag: str) -> bool:
    from bentoml.exceptions import NotFound

    try:
        store.get(tag)
    except NotFound:
        return False
    return True


def _sources_digest() -> str:
    """SHA-256 over bentofile.yaml and every file that its allow-list names."""
    import yaml

    patterns = yaml.safe_load(BENTOFILE.read_text())["include"]
    files = {path for pattern in patterns for path in PROJECT.glob(pattern.lstrip("/")) if path.is_file()}
    digest = hashlib.sha256()
    for path in sorted({BENTOFILE, *files}):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PROJECT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
