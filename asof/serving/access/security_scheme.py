"""An OpenAPI document -> the same with the security scheme, and with what the entrance may answer at each address."""

from typing import Any

from asof.errors import Forbidden, TooManyRequests, Unauthenticated
from asof.serving.access.scopes import OPEN, sufficient
from asof.serving.http.openapi import responses

SCHEME = "apiKey"
METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "trace")


class Described:
    """In place of BentoML's own specification, which has no word for security."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def asdict(self) -> dict[str, Any]:
        components = {**self._document.get("components", {}), "securitySchemes": {SCHEME: _scheme()}}
        paths = {path: _item(path, item) for path, item in self._document["paths"].items()}
        return {**self._document, "components": components, "paths": paths}


def _scheme() -> dict[str, str]:
    told = "A key of this service, as `python -m flows api-keys add` printed it once."
    return {"type": "http", "scheme": "bearer", "description": told}


def _item(path: str, item: dict[str, Any]) -> dict[str, Any]:
    if path in OPEN:
        return item
    return {name: _operation(path, each) if name in METHODS else each for name, each in item.items()}


def _operation(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    scopes = " or ".join(sorted(sufficient(path)))
    told = "\n\n".join(filter(None, (operation.get("description"), f"Takes a key of scope {scopes}.")))
    merged = {str(status): answer for status, answer in operation["responses"].items()}
    for status, answer in responses(path, Unauthenticated, Forbidden, TooManyRequests).items():
        merged[str(status)] = _merged(merged.get(str(status)), answer)
    return {**operation, "description": told, "security": [{SCHEME: []}], "responses": merged}


def _merged(before: dict[str, Any] | None, answer: dict[str, Any]) -> dict[str, Any]:
    """Both with their examples."""
    if not before or not before.get("content"):
        return answer
    content = dict(before["content"])
    for kind, form in answer["content"].items():
        earlier = content.get(kind, {})
        content[kind] = {**form, **earlier, "examples": {**earlier.get("examples", {}), **form["examples"]}}
    told = dict.fromkeys([*before["description"].split("; "), *answer["description"].split("; ")])
    return {**before, "description": "; ".join(told), "content": content}
