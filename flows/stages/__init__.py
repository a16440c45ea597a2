"""The stages: each takes and returns plain data. They run with or without Prefect (`flows.runtime.steps`)."""
