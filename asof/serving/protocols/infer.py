"""The Open Inference Protocol, version 2, without its extension for binary data.

https://github.com/kserve/open-inference-protocol
"""

import re
from collections.abc import Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.types import Scope

from asof.errors import ModelNotFound
from asof.model_facts import Lineage
from asof.serving.batch.instances import check_delimiters
from asof.serving.http.strict_json import JSON, parse
from asof.serving.prediction.predictor import Predictor
from asof.serving.protocols.endpoint import Question
from asof.serving.protocols.infer_request import BINARY, InferRequest, invalid, rows_of
from asof.serving.protocols.infer_response import TEXTS, InferFormat, item
from asof.serving.protocols.row_form import RowForm
from asof.targets import Target
from asof.targets.tensors import Tensor, tensors

INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
BINARY_HEADER = b"inference-header-content-length"


class InferForm:
    """The requests of POST /v2/models/{name}[/versions/{version}]/infer."""

    kinds = (JSON, "")

    def __init__(self, model_name: str, form: RowForm, target: Target) -> None:
        self._model_name, self._form = model_name, form
        self._outputs = {each.name: each for each in (*tensors(target), *TEXTS)}
        self._all = tuple(self._outputs.values())

    def check(self, scope: Scope) -> None:
        """Raises ModelNotFound for another model, HTTPException 415 for binary data."""
        require_name(asked(scope)[0], self._model_name)
        if any(name == BINARY_HEADER for name, _ in scope["headers"]):
            raise HTTPException(415, BINARY)

    def read(self, body: bytes, scope: Scope) -> Question:
        check_delimiters(body)
        request = parse(body, InferRequest)
        wanted = self._wanted(request)
        rows = rows_of(request.inputs, self._form)
        new_format = partial(InferFormat, wanted=wanted, own_id=request.id)
        return Question(rows, new_format, item, partial(_require_version, asked(scope)[1]))

    def _wanted(self, request: InferRequest) -> Sequence[Tensor]:
        if not request.outputs:
            return self._all
        wanted = dict.fromkeys(each.name for each in request.outputs)
        if unknown := [name for name in wanted if name not in self._outputs]:
            raise invalid("outputs", f"there is no output {unknown[0]!r:.100}, but {', '.join(self._outputs)}")
        return [self._outputs[name] for name in wanted]


def asked(scope: Scope) -> tuple[str, str | None]:
    """The model and version in the path of a request."""
    match = INFER.fullmatch(scope["path"])
    assert match  # noqa: S101 - of a path that was routed here
    return match[1], match[2]


def require_name(name: str, served: str) -> None:
    """Raises ModelNotFound for another model than the served one."""
    if name != served:
        raise ModelNotFound(f"This service serves the model {served!r}, not {name!r:.100}: ask for that one.")


def require_version(version: str | None, lineage: Lineage) -> None:
    """Raises ModelNotFound for another version than the served one; None: any."""
    if version is not None and version != lineage.version:
        served = f"version {lineage.version}" if lineage.version else "a version that is not registered"
        raise ModelNotFound(
            f"{lineage.name} is served in {served}, not {version!r:.100}: ask for that one, or for none.",
            served=lineage.version,
        )


def _require_version(version: str | None, predictor: Predictor) -> None:
    require_version(version, predictor.lineage)
