"""Real answers of a registered version in the ledger: for every row of a moment's features, without a server."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from asof.features.feature_contract import model_input
from asof.ledger.answers import Answer, ReadValues
from asof.ledger.model_record import record_of
from asof.ledger.request_id import new_request_id
from asof.ledger.schema import require_tables
from asof.ledger.spool.encoder import Encoder
from asof.ledger.spool.writer import Spool
from asof.model_facts import Lineage
from asof.settings import Settings
from asof.use_case import UseCase
from tests.kits.service.ledger import ship
from training.features.datasets.dataset import build_training_set
from training.release.registry.versions import ModelVersion, load_model, model_version
from training.targets import rules_of


def answer_everybody(settings: Settings, use_case: UseCase, version: str, as_of: datetime) -> list[str]:
    """The version's answers for every labelled entity as of a moment, as the service keeps them; their requests.

    They are answered now; the labels are only used to know the entities.
    """
    model = model_version(settings, use_case, version)
    service = model.facts.contract.feature_service
    frame = build_training_set(settings, use_case, as_of, feature_service=service or None).frame
    return keep_answers(settings, use_case, model, frame, as_of)


def keep_answers(
    settings: Settings, use_case: UseCase, model: ModelVersion, frame: pd.DataFrame, as_of: datetime | None
) -> list[str]:
    """Answers for the complete rows of a frame of features (None: they come in the request); the ids of requests."""
    contract = model.facts.contract
    complete = frame[~frame[contract.names].isna().any(axis=1)].reset_index(drop=True)
    columns = model_input(complete, contract, use_case.derivations(model.facts.derived))
    predictions = rules_of(use_case.target).predictions(load_model(settings, model), columns)
    encoder = Encoder(record_of(use_case, Lineage(model.name, model.version, model.run_id, "none:1"), model.facts))
    moments = {"as_of": dict.fromkeys(contract.views, as_of)} if as_of else {}
    keys = [*contract.keys.names]
    spool, requests = Spool(settings.ledger_folder, 2**28), [new_request_id() for _ in complete.index]
    rows = zip(requests, complete.to_dict("records"), np.asarray(predictions).tolist(), strict=True)
    for request, row, prediction in rows:
        decision = model.facts.output.decisions([prediction])[0]
        entity = contract.keys.text(contract.keys.entity([row[key] for key in keys])) if as_of else None
        values = {name: _plain(row[name]) for name in contract.names}
        answer = Answer(entity, prediction=prediction, decision=decision)
        assert spool.append(encoder, encoder.one(request, None, answer, ReadValues(values, moments)))
    spool.close()
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        require_tables(connection)
    ship(settings, settings.ledger_folder)
    return requests


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
