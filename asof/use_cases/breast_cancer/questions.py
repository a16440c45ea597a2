"""The demo's requests and the answers that the contract promises."""

import json
from pathlib import Path

from asof.use_case import Question
from asof.use_cases.breast_cancer.data import CLASSES, EXAMPLE, EXAMPLE_CLASS, NAMES


def questions(_: Path | None) -> list[Question]:
    """The example by list and by name, with its greatest measurement in another unit, and with nothing measured."""
    by_name = dict(zip(NAMES, EXAMPLE, strict=True))
    greatest = max(by_name, key=by_name.__getitem__)
    other_unit = by_name | {greatest: by_name[greatest] * 1000}
    known = {"class_name": EXAMPLE_CLASS, "class_code": CLASSES.index(EXAMPLE_CLASS)}
    invalid = {"code": "invalid-request"}
    return [
        Question("The example", _body(features=list(EXAMPLE)), 200, known),
        Question("The same by name", _body(measurements=by_name), 200, known),
        Question(f"Its {greatest} in another unit", _body(measurements=other_unit), 422, invalid),
        Question("Nothing measured", _body(features=[0] * len(NAMES)), 422, invalid),
    ]


def _body(**members: object) -> str:
    return json.dumps(members)
