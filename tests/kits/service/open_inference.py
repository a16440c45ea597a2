"""The published schema of the Open Inference Protocol over REST, as JSON Schema.

Derived from specification/protocol/open_inference_rest.yaml of kserve/open-inference-protocol (version 2.0, commit
18d5991), and stricter where inference_rest.md there is: on datatypes, and on parameters, which are texts, numbers or
booleans.
"""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
DATATYPE: Schema = {
    "enum": ["BOOL", "BYTES", "FP16", "FP32", "FP64"]
    + [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _of(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "properties": required | (optional or {}), "required": [*required]}


TENSOR = {"name": TEXT, "shape": _list({"type": "integer"}), "datatype": DATATYPE}
PARAMETERS = {"parameters": _of("parameters")}
DEFINITIONS: dict[str, Schema] = {
    "parameters": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "tensor_data": _list({"anyOf": [{"type": ["number", "string", "boolean"]}, _of("tensor_data")]}),
    "metadata_tensor": _object(TENSOR),
    "data_tensor": _object(TENSOR | {"data": _of("tensor_data")}, PARAMETERS),
    "metadata_server_response": _object({"name": TEXT, "version": TEXT, "extensions": _list(TEXT)}),
    "metadata_model_response": _object(
        {"name": TEXT, "platform": TEXT},
        {"versions": _list(TEXT), **dict.fromkeys(("inputs", "outputs"), _list(_of("metadata_tensor")))},
    ),
    "inference_request": _object(
        {"inputs": _list(_of("data_tensor"))},
        {"id": TEXT, "outputs": _list(_object({"name": TEXT}, PARAMETERS)), **PARAMETERS},
    ),
    "inference_response": _object(
        {"model_name": TEXT, "outputs": _list(_of("data_tensor"))}, {"model_version": TEXT, "id": TEXT, **PARAMETERS}
    ),
    "error_response": _object({"error": TEXT}),
}


def check(name: str, document: Any) -> None:
    """Raises jsonschema.ValidationError where the document is none of that name."""
    Draft202012Validator(_of(name) | {"$defs": DEFINITIONS}).validate(document)
