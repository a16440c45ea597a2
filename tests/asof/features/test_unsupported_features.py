"""What of Feast no model can take: named before anything is loaded, wherever it stands."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import BatchFeatureView, Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_source import PushSource, RequestSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.stream_feature_view import StreamFeatureView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Float64

from asof.errors import ConfigurationError, FeatureContractMismatch
from asof.features.feature_store import REPOSITORY, feature_store, quiet, read_contract
from asof.features.feature_support import require_readable, require_takeable
from asof.serving.features.store.opening import open_reader, read_registered
from asof.settings import Settings, export
from asof.use_cases import load
from doctor.context import Context
from doctor.data.definitions import check_definitions
from flows.stages.ingest import ingest
from training.features.datasets.point_in_time import joined_rows, read_sources
from training.features.materialisation.feature_registry import apply_features, check_features

DAY = datetime(2024, 1, 31, tzinfo=UTC)
SOURCE = PostgreSQLSource(name="t", table="t", timestamp_field="as_of")
USER, ORDER, GUEST = (
    Entity(name=name, join_keys=[key], value_type=ValueType.STRING)
    for name, key in (("user", "user_id"), ("order", "order_id"), ("guest", "user_id"))
)
RAW = Entity(name="raw", join_keys=["raw_id"], value_type=ValueType.BYTES)
SCHEMA = [Field(name="x", dtype=Float64)]


def view(name: str = "plain_fv", *entities: Entity, source: Any = SOURCE) -> FeatureView:
    return FeatureView(name=name, entities=[*entities], schema=SCHEMA, source=source)


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": rows["x"] * 2})


def on_demand(*sources: Any) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name="doubled",
        schema=[Field(name="twice", dtype=Float64)],
        sources=[*sources],
        feature_transformation=PandasTransformation(udf=doubled, udf_string="doubled"),
        mode="pandas",
    )


def streamed() -> StreamFeatureView:
    return StreamFeatureView(
        name="streamed",
        entities=[USER],
        schema=SCHEMA,
        source=PushSource(name="pushed", batch_source=SOURCE),
        timestamp_field="as_of",
    )


def batch() -> BatchFeatureView:
    return BatchFeatureView(
        name="batch", mode="python", entities=[USER], schema=SCHEMA, source=SOURCE, udf=doubled, udf_string="doubled"
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: on_demand(view("plain_fv", USER)), "'s' takes OnDemandFeatureView 'doubled', .*derived column"),
        (lambda: on_demand(RequestSource(name="asked", schema=SCHEMA)), "OnDemandFeatureView 'doubled'"),
        (streamed, "StreamFeatureView 'streamed', .*a table that the stream fills"),
        (batch, "BatchFeatureView 'batch'"),
        (lambda: view("nobody"), "'nobody', which is keyed by no entity: "),
    ],
)
@pytest.mark.filterwarnings("ignore:(Stream|Batch) feature view:RuntimeWarning")
def test_a_service_that_no_model_can_take_is_named(make: Callable[[], Any], words: str) -> None:
    taken = make()
    service = FeatureService(name="s", features=[taken])
    with pytest.raises(ConfigurationError, match=words):
        require_takeable(service, {taken.name: taken})


def test_what_can_be_taken_is_taken() -> None:
    pushed = view("pushed_fv", USER, source=PushSource(name="pushed", batch_source=SOURCE))
    views = [view("plain_fv", USER), pushed, view("both", USER, ORDER)]
    require_readable(views)
    require_takeable(FeatureService(name="s", features=views), {each.name: each for each in views})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (view("of_a_file", USER, source=FileSource(path="x.parquet", timestamp_field="as_of")), "with a FileSource"),
        (view("nobody"), "'nobody' with no entity"),
    ],
)
def test_a_view_that_no_ingest_can_fill_is_named(found: FeatureView, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        require_readable([found])


ON_DEMAND = """
import pandas as pd
from feast import FeatureService, Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64
from streamflow_views import subs_profile_fv


@on_demand_feature_view(sources=[subs_profile_fv], schema=[Field(name="fee_a_year", dtype=Float64)], mode="pandas")
def of_a_year(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"fee_a_year": rows["monthly_fee"] * 12})


yearly = FeatureService(name="yearly_v1", features=[subs_profile_fv, of_a_year])
"""


def test_an_on_demand_view_in_a_service_is_named_before_anything_is_loaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(settings)
    apply_features(settings)
    words = "'yearly_v1' takes OnDemandFeatureView 'of_a_year'"
    repository = shutil.copytree(REPOSITORY, tmp_path / "feature_repo")
    (repository / "on_demand_of_a_test.py").write_text(ON_DEMAND)
    for module in ("asof.features.feature_store", "training.features.materialisation.feature_registry"):
        monkeypatch.setattr(f"{module}.REPOSITORY", repository)
    with pytest.raises(ConfigurationError, match=words):
        ingest(str(tmp_path / "no extracts are looked for"))
    with pytest.raises(ConfigurationError, match=words):
        apply_features(settings)
    (found,) = (each for each in check_definitions(Context(settings, {}, tmp_path, tmp_path)))
    assert (found.name, "of_a_year" in found.found) == ("unsupported-features", True)


MISFIT = """
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64
from streamflow_sources import usage_source

number = Entity(name="number", join_keys=["user_id"], value_type=ValueType.INT64)
view = FeatureView(
    name="numbers_fv", entities=[number], schema=[Field(name="watch_hours_30d", dtype=Float64)], source=usage_source
)
misfit = FeatureService(name="misfit_v1", features=[view])
"""


def test_a_service_of_other_keys_than_the_extract_is_named_before_anything_is_loaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(settings)
    repository = shutil.copytree(REPOSITORY, tmp_path / "feature_repo")
    (repository / "misfit_of_a_test.py").write_text(MISFIT)
    monkeypatch.setattr("training.features.materialisation.feature_registry.REPOSITORY", repository)
    churn = load("churn")
    check_features(settings, churn)
    misfit = replace(churn, estimators={"default": replace(churn.estimator(), feature_service="misfit_v1")})
    words = (
        r"The extract of churn is keyed by user_id \(text\), not user_id \(integer\), as feature service 'misfit_v1'"
    )
    with pytest.raises(ConfigurationError, match=words):
        check_features(settings, misfit)


@pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning")
def test_registered_services_that_no_model_can_take_are_named(settings: Settings) -> None:
    """As `feast apply` registers them, without our checks."""
    export(settings)
    apply_features(settings)
    by_order = view("orders_fv", ORDER)
    by_order.ttl = timedelta(days=1)
    with feature_store(settings) as store, quiet():
        users = store.get_feature_view("users_fv")
        yearly, nobody, raw = on_demand(by_order), view("nobody"), view("raw_fv", RAW)
        services = [
            FeatureService(name="mixed_v1", features=[users, by_order]),
            FeatureService(name="yearly_v1", features=[users, yearly]),
            FeatureService(name="nobody_v1", features=[nobody]),
            FeatureService(name="raw_v1", features=[raw]),
        ]
        store.apply([ORDER, RAW, SOURCE, by_order, yearly, nobody, raw, *services])
    contract, _ = read_sources(settings, "mixed_v1")
    assert contract.keys.names == ("order_id", "user_id")
    words = r"of churn is keyed by user_id \(text\), not order_id \(text\), user_id \(text\), as .* 'mixed_v1' is"
    with pytest.raises(ConfigurationError, match=words):
        joined_rows(settings, load("churn").extract, DAY, known_at=DAY, feature_service="mixed_v1")
    with pytest.raises(ConfigurationError, match="Join key raw_id is BYTES in Feast: declare its entity as STRING"):
        read_sources(settings, "raw_v1")
    with pytest.raises(ConfigurationError, match="'yearly_v1' takes OnDemandFeatureView 'doubled'"):
        read_sources(settings, "yearly_v1")
    with pytest.raises(ConfigurationError, match="'nobody', which is keyed by no entity: "):
        read_sources(settings, "nobody_v1")


@pytest.mark.parametrize("online_store", ["online_store.store.WideOnlineStore", "postgres"])
@pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning")
def test_a_served_models_service_that_takes_an_on_demand_view_now_is_a_mismatch_that_names_it(
    settings: Settings, online_store: str
) -> None:
    own = settings.model_copy(update={"online_store": online_store})
    export(own)
    apply_features(own)
    with feature_store(own) as store, quiet():
        users = store.get_feature_view("users_fv")
        service = FeatureService(name="asked_v1", features=[users])
        store.apply([service])
        trained = read_contract(store, service)
        asked = on_demand(RequestSource(name="asked", schema=SCHEMA))
        store.apply([asked, FeatureService(name="asked_v1", features=[users, asked])])
    words = "'asked_v1' takes OnDemandFeatureView 'doubled', which cannot be read .* may take given features"
    for read in (read_registered, open_reader):
        with pytest.raises(FeatureContractMismatch, match=words):
            read(own, trained)
    with pytest.raises(ConfigurationError, match=words):
        read_sources(own, "asked_v1")
