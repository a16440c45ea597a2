"""What all models of one worker share: use case, settings, metrics, ledger and concurrency limits."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from asof.extracts.schema import Kind
from asof.features.join_keys import JoinKeys, keys_of_extract
from asof.ledger.model_record import record_of
from asof.ledger.spool.encoder import Encoder
from asof.model_facts import Lineage
from asof.serving.http.concurrency_limit import ConcurrencyLimit
from asof.serving.ledger.keeper import LedgerKeeper
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings
from asof.use_case import FromStore, UseCase

MAX_BATCHES = 2
"""Concurrent batches: one is scored while the other is read or sent. More would only wait and occupy memory."""
MAX_EXPLANATIONS = 16
"""Explanations that take long: one is made while the others wait."""


class Worker:
    """One for each process: a second set of the same metrics would overwrite its files.

    `lineage` describes a worker without a model: the registered model's name, and the Bento.
    """

    def __init__(self, settings: Settings, use_case: UseCase, *, bento: str) -> None:
        self.settings, self.use_case, self.metrics = settings, use_case, Metrics()
        self.lineage = Lineage(use_case.model_name, None, "", bento)
        self.ledger = LedgerKeeper(settings, self.metrics)
        self.concurrency_limit = ConcurrencyLimit(settings.max_in_flight)
        self.batch_limit = ConcurrencyLimit(MAX_BATCHES)
        self.explanation_limit = ConcurrencyLimit(MAX_EXPLANATIONS)

    @cached_property
    def explaining(self) -> ThreadPoolExecutor:
        """One thread for all explanations that take long: predictions need the other processors."""
        return ThreadPoolExecutor(1, "explanations")

    @cached_property
    def encoder(self) -> Encoder:
        """Encodes the answers of a worker without a model."""
        return Encoder(record_of(self.use_case, self.lineage, None))

    @cached_property
    def keys(self) -> JoinKeys | None:
        """The join keys of the use case's requests; None where the features come in the request."""
        source = self.use_case.source
        return keys_of_extract(source.extract) if isinstance(source, FromStore) else None

    def entity_text(self, request: Any) -> str | None:
        """The entity of a request as the ledger has it; None of what is no valid request."""
        keys = self.keys
        if keys is None or not isinstance(request, BaseModel):
            return None
        return keys.text(keys.of(request)) if len(keys.names) > 1 else str(getattr(request, keys.names[0]))

    def entity_texts(self, requests: Sequence[Any]) -> list[str | None]:
        """The same for many requests; at once where all are valid, and keyed by one text."""
        keys = self.keys
        if keys and len(keys.keys) == 1 and keys.keys[0].kind is Kind.TEXT:
            try:
                return list(map(attrgetter(keys.names[0]), requests))
            except AttributeError:  # one is no valid request
                pass
        return [self.entity_text(each) for each in requests]
