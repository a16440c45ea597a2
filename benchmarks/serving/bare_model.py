"""The model alone, in this process, one row after the other; prints a line of JSON.

`python -m benchmarks.serving.bare_model FOLDER REQUESTS SECONDS COMPILED`: MLflow's folder of the model, the file of
its requests, and the file of the compiled model (empty: none). "array" is the model's last step on rows prepared by the
steps before; "compiled" is all steps, as the service runs them.
"""

import json
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asof.inference.runtime import Onnx
from benchmarks.serving.load.samples import percentiles

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

ROWS = 200


def measure(folder: str, requests: str, seconds: float, compiled: str) -> dict[str, Any]:
    """Predictions a second on a one-row frame, on a one-row array, and with the compiled model."""
    import mlflow
    import pandas as pd

    fitted = mlflow.sklearn.load_model(folder)
    pipeline = getattr(fitted, "best_estimator_", fitted)
    lines = Path(requests).read_bytes().splitlines()[:ROWS]
    tables = [json.loads(line)["dataframe_split"] for line in lines]
    whole = pd.DataFrame([table["data"][0] for table in tables], columns=tables[0]["columns"])
    arrays = pipeline[:-1].transform(whole)
    numbers = range(len(whole))
    results = {
        "frame": _timed(pipeline.predict_proba, [whole[number : number + 1] for number in numbers], seconds),
        "array": _timed(pipeline[-1].predict_proba, [arrays[number : number + 1] for number in numbers], seconds),
    }
    if compiled:
        onnx = Onnx(Path(compiled).read_bytes())
        results["compiled"] = _timed(onnx.predict, [_row(whole, number) for number in numbers], seconds)
    return results


def _row(whole: "pd.DataFrame", number: int) -> dict[str, "NDArray[Any]"]:
    """One row as the service passes it to the model."""
    return {name: whole[name].to_numpy()[number : number + 1] for name in map(str, whole)}


def _timed(predict: Callable[[Any], Any], rows: list[Any], seconds: float) -> dict[str, Any]:
    predict(rows[0])
    latencies, begin = list[float](), perf_counter()
    for row in cycle(rows):
        sent = perf_counter()
        predict(row)
        now = perf_counter()
        latencies.append((now - sent) * 1000)
        if now - begin > seconds:
            break
    return {"requests_per_second": round(len(latencies) / sum(latencies) * 1000, 1), **percentiles(latencies)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])))
