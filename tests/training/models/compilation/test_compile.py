"""Compiled classifiers: probabilities of rows and of odd values, and models that do not compile."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asof.errors import ModelError, NotCompiled
from asof.features.feature_contract import model_frame, row_arrays
from asof.inference import runtime as serving
from asof.inference.runtime import Onnx, ScikitLearn
from asof.settings import PROJECT
from asof.targets import BinaryOutput
from tests.kits.models.training import SMALL, made_up_set
from training.models.compilation.agreement import agreement
from training.models.compilation.compile import compile_model
from training.models.compilation.convert import convert
from training.models.compilation.trees import tree_of

ROWS = made_up_set(600)
FEATURES, LABELS = ROWS.features, ROWS.labels
QUANTITIES = ["hours", "tickets"]


def pipeline(classifier: Any, quantities: Any = "passthrough", *, scale: Any = "passthrough", **encoder: Any) -> Any:
    """One-hot categories, quantities as asked, the rest as it is; then the classifier, fitted on the made-up users."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = OneHotEncoder(**({"handle_unknown": "ignore"} | encoder))
    parts = [("categories", encode, ["plan"]), ("quantities", quantities, QUANTITIES)]
    columns = ColumnTransformer(parts, remainder="passthrough", sparse_threshold=0)
    return Pipeline([("columns", columns), ("scale", scale), ("model", classifier)]).fit(FEATURES, LABELS)


def regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000)


def power_and_regression() -> Any:
    from sklearn.preprocessing import PowerTransformer, StandardScaler

    return pipeline(regression(), PowerTransformer(), scale=StandardScaler())


def boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return pipeline(HistGradientBoostingClassifier(max_iter=40, early_stopping=False))


def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return pipeline(RandomForestClassifier(30, random_state=1))


def extra_trees() -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return pipeline(ExtraTreesClassifier(30, random_state=1))


def one_tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return pipeline(DecisionTreeClassifier(max_depth=4))


def imputed() -> Any:
    from sklearn.impute import SimpleImputer

    return pipeline(regression(), SimpleImputer())


def forest_of_logarithms() -> Any:
    """It refuses an infinite number, but not a negative one, whose logarithm is missing."""
    from sklearn.preprocessing import FunctionTransformer

    return pipeline(forest()[-1], FunctionTransformer(np.log1p))


MODELS = (power_and_regression, boosting, forest, extra_trees, one_tree, imputed, forest_of_logarithms)


@pytest.mark.parametrize("make", MODELS)
def test_a_compiled_model_says_the_same_of_every_row(make: Any) -> None:
    compiled = compile_model(make(), FEATURES, BinaryOutput(0.5))
    assert compiled.agreement.rows == 600
    assert compiled.agreement.largest_difference < 1e-12
    assert compiled.agreement.flipped == 0


@pytest.mark.parametrize("make", [forest, extra_trees, one_tree])
def test_equal_votes_stay_equal_to_the_last_digit(make: Any) -> None:
    model = make()
    expected = model.predict_proba(FEATURES)[:, 1]
    compiled = compile_model(model, FEATURES, BinaryOutput(float(np.sort(expected)[300])))
    arrays = {name: FEATURES[name].to_numpy() for name in FEATURES}
    assert compiled.runtime.predict(arrays) == expected.tolist()


def test_a_row_on_a_split_goes_the_same_way() -> None:
    """A forest compares in single precision with thresholds in double: between both lie the values of these rows."""
    model = forest()
    trees = [each.tree_ for each in model[-1].estimators_]
    hours = list(model[0].get_feature_names_out()).index("quantities__hours")
    splits = np.unique(np.concatenate([tree.threshold[tree.feature == hours] for tree in trees]))
    beside = np.concatenate([splits, np.nextafter(splits, 0), np.nextafter(splits, 1e9), splits.astype("f4")])
    rows = FEATURES.iloc[np.arange(beside.size) % 600].assign(hours=beside.astype("float64"))
    compiled = compile_model(model, FEATURES, BinaryOutput(0.5))
    assert agreement(compiled.runtime, model, rows, BinaryOutput(0.5)).largest_difference == 0


@pytest.mark.parametrize("make", MODELS)
def test_what_scikit_learn_makes_of_odd_values_the_graph_makes_of_them(make: Any) -> None:
    model = make()
    graph, estimator = compile_model(model, FEATURES, BinaryOutput(0.5)).runtime, ScikitLearn(model)
    odd = {"hours": [np.nan, np.inf, -np.inf, 1e39, -5.0, 0.0], "plan": ["never seen", None, ""], "paperless": [np.nan]}
    for name, values in odd.items():
        for value in values:
            row = ROWS.frame[SMALL.names].iloc[0].to_dict() | {name: value}
            assert said(graph, row) == said(estimator, row), (name, value)


def said(runtime: Any, row: dict[str, Any]) -> Any:
    """The probability of a row, or that it is refused."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of 1e39 in single precision, and of logarithms
            return pytest.approx(runtime.predict(row_arrays([row], SMALL, {}))[0], abs=1e-9)
    except ValueError:
        return "refused"


def digests() -> str:
    contents = (compile_model(make(), FEATURES, BinaryOutput(0.5)).content for make in (power_and_regression, forest))
    return " ".join(hashlib.sha256(content).hexdigest() for content in contents)


def test_the_same_model_gives_the_same_bytes_in_any_process() -> None:
    code = "from tests.training.models.compilation.test_compile import digests; print(digests())"
    command, own = [sys.executable, "-c", code], {"PYTHONHASHSEED": "1"}
    other = subprocess.run(command, cwd=PROJECT, env=own, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digests()


def test_a_model_that_refuses_new_categories_does_not_compile() -> None:
    with pytest.raises(NotCompiled, match="refuses new categories of plan: see OneHotEncoder's handle_unknown"):
        compile_model(pipeline(regression(), handle_unknown="error"), FEATURES, BinaryOutput(0.5))


def test_a_type_without_a_converter_does_not_compile() -> None:
    from sklearn.semi_supervised import LabelPropagation

    with pytest.raises(NotCompiled, match="LabelPropagation has no converter"):
        compile_model(pipeline(LabelPropagation()), FEATURES, BinaryOutput(0.5))


def test_a_tree_refuses_what_a_transformer_made_infinite() -> None:
    from sklearn.preprocessing import FunctionTransformer

    model = pipeline(forest()[-1], FunctionTransformer(np.square))
    graph = compile_model(model, FEATURES, BinaryOutput(0.5)).runtime
    for value, refused in ((1e30, True), (-5.0, False)):
        row = FEATURES.head(1).assign(hours=value)
        for runtime in (graph, ScikitLearn(model)):
            assert (said(runtime, {**row.iloc[0]}) == "refused") is refused


def test_boosting_that_takes_categories_itself_treats_new_and_missing_ones_as_it_does() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    codes = FEATURES.assign(plan=FEATURES["tickets"] % 3, tickets=np.where(FEATURES["hours"] > 30, np.nan, 1.0))
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features=["plan", "tickets"]).fit(codes, LABELS)
    graph = compile_model(model, codes, BinaryOutput(0.5)).runtime
    rows = pd.concat([codes.head(3)] * 4).assign(plan=np.repeat([0.0, 7.0, -1.0, np.nan], 3))
    said = graph.predict({str(name): rows[name].to_numpy() for name in rows})
    assert said == pytest.approx(model.predict_proba(rows)[:, 1], abs=1e-15)


def test_a_graph_with_rounded_splits_does_not_pass_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows fall into other leaves."""

    def rounded(*fitted: Any) -> Any:
        tree = tree_of(*fitted)
        return replace(tree, threshold=tree.threshold.astype("f2").astype("f8"))

    monkeypatch.setattr("training.models.compilation.predictors.ensembles.tree_of", rounded)
    with pytest.raises(NotCompiled, match=r"labels flipped|scikit-learn gives"):
        compile_model(pipeline(forest()[-1]), FEATURES, BinaryOutput(0.5))


def test_every_row_is_compared_and_not_only_the_odd_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    another = pipeline(regression())
    monkeypatch.setattr("training.models.compilation.compile.convert", lambda _, *rest: convert(another, *rest))
    monkeypatch.setattr("training.models.compilation.compile.compare_odd", lambda *_: None)
    with pytest.raises(NotCompiled, match="the graph disagrees with scikit-learn: 600 rows"):
        compile_model(boosting(), FEATURES, BinaryOutput(0.5))


def test_one_flipped_label_is_no_agreement() -> None:
    compiled = compile_model(one_tree(), FEATURES, BinaryOutput(0.5)).agreement
    assert compiled.holds
    assert not replace(compiled, flipped=1).holds
    assert not replace(compiled, largest_difference=2e-6).holds
    assert not replace(compiled, largest_difference=float("nan")).holds


def test_columns_may_have_any_names_and_need_not_be_taken() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    renamed = FEATURES.rename(columns={"hours": "mean hours", "tickets": "mean_hours", "paperless": "label"})
    columns = ColumnTransformer([("some", "passthrough", ["mean hours", "label"])])
    model = Pipeline([("columns", columns), ("model", regression())]).fit(renamed, LABELS)
    compiled = compile_model(model, renamed, BinaryOutput(0.5))
    arrays = {name: renamed[name].to_numpy() for name in renamed}
    assert compiled.runtime.predict(arrays) == pytest.approx(model.predict_proba(renamed)[:, 1], abs=1e-12)


def test_rows_become_the_frame_of_training_and_the_arrays_of_serving() -> None:
    rows = [{"hours": None, "tickets": 2, "paperless": True, "plan": "yearly"}, {**ROWS.frame.iloc[1].to_dict()}]
    frame = model_frame(pd.DataFrame(rows), SMALL)
    for name, values in row_arrays(rows, SMALL, {}).items():
        assert frame[name].dtype == values.dtype
        np.testing.assert_array_equal(frame[name].to_numpy(), values)


def graph_of(make: Any = power_and_regression) -> Any:
    """The ONNX graph of a model, to be tampered with."""
    import onnx

    return onnx.load_from_string(compile_model(make(), FEATURES, BinaryOutput(0.5)).content)


def test_a_graph_with_weights_outside_of_its_file_does_not_load(tmp_path: Path, monkeypatch: Any) -> None:
    """ONNX Runtime would look for them in the working folder."""
    from onnx import TensorProto

    graph = graph_of()
    weights = next(each for each in graph.graph.initializer if each.data_type == TensorProto.DOUBLE and each.dims)
    (tmp_path / "weights").write_bytes(np.ones(tuple(weights.dims)).tobytes())
    for field in ("double_data", "raw_data"):
        weights.ClearField(field)
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="does not load"):
        Onnx(graph.SerializeToString())
    monkeypatch.setattr(serving, "NO_FOLDER", str(tmp_path))
    Onnx(graph.SerializeToString())  # that is what was in the way


def test_a_graph_with_an_unknown_operator_does_not_load() -> None:
    graph = graph_of()
    graph.graph.node[0].domain = "com.example"
    graph.opset_import.add(domain="com.example", version=1)
    with pytest.raises(ModelError, match=r"com\.example"):
        Onnx(graph.SerializeToString())


@pytest.mark.parametrize("content", [b"", b"no graph"])
def test_bytes_that_are_no_graph_do_not_load(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx does not load: train and bundle again"):
        Onnx(content)


def test_a_missing_category_is_not_the_category_none() -> None:
    from sklearn.pipeline import Pipeline

    named = FEATURES.assign(plan=FEATURES["plan"].replace("monthly", "None"))
    fitted = boosting()
    model = Pipeline(fitted.steps).fit(named, LABELS)
    graph = compile_model(model, named, BinaryOutput(0.5)).runtime
    rows = [named.iloc[0].to_dict() | {"plan": plan} for plan in ("None", None, "never seen")]
    one, missing, unseen = graph.predict(row_arrays(rows, SMALL, {}))
    assert missing == unseen != one


def test_a_big_graph_is_not_for_the_event_loop_and_a_small_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    content = compile_model(boosting(), FEATURES, BinaryOutput(0.5)).content
    assert not Onnx(content).blocking
    monkeypatch.setattr(serving, "BLOCKING_BYTES", len(content) - 1)
    assert Onnx(content).blocking


def test_a_category_that_is_no_text_is_refused() -> None:
    row = ROWS.frame[SMALL.names].iloc[0].to_dict() | {"plan": 3}
    with pytest.raises(TypeError, match="plan is 3, which is not a string"):
        compile_model(boosting(), FEATURES, BinaryOutput(0.5)).runtime.predict(row_arrays([row], SMALL, {}))
