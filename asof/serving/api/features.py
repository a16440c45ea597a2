"""GET /features: the stored features of one entity, each with its verdict.

An entity of one key is the rest of the path; one of several keys is given by query parameters, since a text may contain
any character.
"""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, create_model
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from asof.errors import InvalidRequest, NotReady
from asof.features.entity_key import FROM_TEXT
from asof.features.join_keys import Entity, JoinKeys
from asof.serving.api.answers import FeaturesAnswer, feature_answer
from asof.serving.features.store_input import LOOKUP
from asof.serving.http import openapi
from asof.serving.http.boundary import occurrence
from asof.serving.http.examples import examples
from asof.serving.http.problems import invalid_request
from asof.use_case import UseCase

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel


def add_features(app: FastAPI, use_case: UseCase, keys: JoinKeys) -> None:
    """Adds the route for entities of these keys."""
    path, endpoint = _by_path(keys) if len(keys.keys) == 1 else _by_query(keys)
    documented = path.replace(":rest}", "}")
    app.add_api_route(
        path,
        endpoint,
        summary="Look at the features",
        response_model=FeaturesAnswer,
        responses=openapi.responses(documented, *LOOKUP, InvalidRequest, NotReady, shown=examples(use_case)),
    )


def _by_path(keys: JoinKeys) -> tuple[str, Any]:
    (key,) = keys.keys
    value: Any = FROM_TEXT[key.kind]

    async def features(request: Request, entity: Annotated[value, Path(alias=key.name)]) -> Response:
        """The features of one entity in the online store: value, moment, age and verdict of each.

        The id is the rest of the path after `/features/`, percent-encoded, except that `/` need not be encoded. Clients
        and proxies resolve `.` and `..` in paths: send these ids to POST /predict.
        """
        _require_utf8(request.scope["raw_path"], "path", key.name)
        return await _answer(request, keys, entity)

    register_url_convertor("rest", Rest())
    return f"/features/{{{key.name}:rest}}", features


def _by_query(keys: JoinKeys) -> tuple[str, Any]:
    members: Any = {key.name: (FROM_TEXT[key.kind], ...) for key in keys.keys}
    query: Any = create_model("FeaturesQuery", __config__=ConfigDict(extra="forbid"), **members)

    async def features(request: Request, entity: Annotated[query, Query()]) -> Response:
        """The features of one entity in the online store: value, moment, age and verdict of each.

        Each of its keys is one query parameter, percent-encoded.
        """
        _require_utf8(request.scope["query_string"], "query", keys.names[0])
        given = [name for name, _ in request.query_params.multi_items()]
        if twice := [name for name in keys.names if given.count(name) > 1]:
            raise invalid_request([{"type": "twice", "loc": ("query", twice[0]), "msg": "give one value"}])
        return await _answer(request, keys, keys.of(entity))

    return "/features", features


async def _answer(request: Request, keys: JoinKeys, entity: Entity) -> Response:
    live: LiveModel = request.app.state.live
    predictor = live.current
    judged = await predictor.judged_features(entity)
    answer: BaseModel = FeaturesAnswer(
        entity=keys.members(entity),
        clock=predictor.worker.settings.now(),
        features=[feature_answer(each) for each in judged],
        request_id=occurrence(request.scope).request_id,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


class Rest(PathConvertor):
    """The rest of a path, with any characters."""

    regex = r"[\s\S]+"


def _require_utf8(raw: bytes, part: str, name: str) -> None:
    """Raises InvalidRequest for a path or query that is not UTF-8: a replacement by U+FFFD would be another id."""
    try:
        unquote(raw.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise invalid_request(
            [{"type": "utf8", "loc": (part, name), "msg": "an id must be percent-encoded UTF-8"}]
        ) from None
