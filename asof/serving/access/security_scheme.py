"""Adds the security scheme to an OpenAPI document, and to each path the scopes and problems of authentication."""

from typing import Any

from asof.errors import Forbidden, TooManyRequests, Unauthenticated
from asof.serving.access.scopes import OPEN, scopes_for
from asof.serving.http.openapi import responses

SCHEME = "apiKey"
METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "trace")


class SecuredSpecification:
    """In place of BentoML's specification class, which has no field for security."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def asdict(self) -> dict[str, Any]:
        description = "A key of this service, as printed by `python -m flows api-keys add`."
        scheme = {"type": "http", "scheme": "bearer", "description": description}
        components = {**self._document.get("components", {}), "securitySchemes": {SCHEME: scheme}}
        paths = {
            path: item if path in OPEN else {key: _operation(path, key, each) for key, each in item.items()}
            for path, item in self._document["paths"].items()
        }
        return {**self._document, "components": components, "paths": paths}


def _operation(path: str, method: str, operation: Any) -> Any:
    if method not in METHODS:
        return operation
    requirement = f"Requires a key with the scope {' or '.join(sorted(scopes_for(path)))}."
    description = "\n\n".join(filter(None, (operation.get("description"), requirement)))
    merged = {str(status): response for status, response in operation["responses"].items()}
    for status, response in responses(path, Unauthenticated, Forbidden, TooManyRequests).items():
        merged[str(status)] = _merged(merged.get(str(status)), response)
    return {**operation, "description": description, "security": [{SCHEME: []}], "responses": merged}


def _merged(existing: dict[str, Any] | None, added: dict[str, Any]) -> dict[str, Any]:
    """One response with the titles and examples of both."""
    if not existing or not existing.get("content"):
        return added
    content = dict(existing["content"])
    for media_type, body in added["content"].items():
        own = content.get(media_type, {})
        content[media_type] = {**body, **own, "examples": {**own.get("examples", {}), **body["examples"]}}
    titles = dict.fromkeys([*existing["description"].split("; "), *added["description"].split("; ")])
    return {**existing, "description": "; ".join(titles), "content": content}
