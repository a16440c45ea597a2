"""What the demo asks the service, with what the contract promises."""

import json
from pathlib import Path

from asof.use_case import Question
from asof.use_cases.breast_cancer.data import NAMES
from asof.use_cases.breast_cancer.payloads import EXAMPLE


def questions(_: Path | None) -> list[Question]:
    """A malignant mass by list and by name, one whose area is in another unit, and one that was not measured."""
    by_name = dict(zip(NAMES, EXAMPLE, strict=True))
    in_square_micrometres = by_name | {"mean area": by_name["mean area"] * 1000}
    malignant = {"class_name": "malignant", "class_code": 0}
    invalid = {"code": "invalid-request"}
    return [
        Question("A malignant mass", _body(features=list(EXAMPLE)), 200, malignant),
        Question("The same by name", _body(measurements=by_name), 200, malignant),
        Question("An area in another unit", _body(measurements=in_square_micrometres), 422, invalid),
        Question("Nothing measured", _body(features=[0] * len(NAMES)), 422, invalid),
    ]


def _body(**members: object) -> str:
    return json.dumps(members)
