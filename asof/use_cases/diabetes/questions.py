"""The demo's requests and the answers that the contract promises."""

import json
from pathlib import Path

from asof.use_case import Question
from asof.use_cases.diabetes.data import EXAMPLE, NAMES, UNIT


def questions(_: Path | None) -> list[Question]:
    """The example, its blood pressure in another unit, its age as a text, and without its body mass index."""
    example = dict(zip(NAMES, EXAMPLE, strict=True))
    other_unit = example | {"bp": example["bp"] * 133}
    without = {name: value for name, value in example.items() if name != "bmi"}
    invalid = {"code": "invalid-request"}
    return [
        Question("The example", json.dumps(example), 200, {"unit": UNIT}),
        Question("Its blood pressure in pascals", json.dumps(other_unit), 422, invalid),
        Question("Its age as a text", json.dumps(example | {"age": "59"}), 422, invalid),
        Question("Without its body mass index", json.dumps(without), 422, invalid),
    ]
