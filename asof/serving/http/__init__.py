"""HTTP as the service speaks it: problem documents, strict JSON, limits, OpenAPI."""
