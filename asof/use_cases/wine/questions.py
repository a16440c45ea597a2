"""The demo's requests and the answers that the contract promises."""

import json
from pathlib import Path

from asof.use_case import Question
from asof.use_cases.wine.data import EXAMPLE, EXAMPLE_CLASS, NAMES


def questions(_: Path | None) -> list[Question]:
    """The example, a wine of another cultivar, the example's proline in another unit, and without its alcohol."""
    example = dict(zip(NAMES, EXAMPLE, strict=True))
    third = (12.86, 1.35, 2.32, 18.0, 122.0, 1.51, 1.25, 0.21, 0.94, 4.1, 0.76, 1.29, 630.0)
    other_unit = example | {"proline": example["proline"] * 1000}
    without = {name: value for name, value in example.items() if name != "alcohol"}
    invalid = {"code": "invalid-request"}
    return [
        Question("The example", json.dumps(example), 200, {"class": EXAMPLE_CLASS}),
        Question("Another cultivar", json.dumps(dict(zip(NAMES, third, strict=True))), 200, {"class": "barbera"}),
        Question("Its proline in another unit", json.dumps(other_unit), 422, invalid),
        Question("Without its alcohol", json.dumps(without), 422, invalid),
    ]
