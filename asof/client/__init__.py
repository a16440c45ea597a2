"""A client of the prediction service: `Client` and `AsyncClient`.

It needs httpx, and for data frames pandas and pyarrow; it imports nothing else of AsOf. Every problem of the service is
an exception of `asof.client.errors`.

    from asof.client import Client, EntityNotFound

    with Client("http://localhost:3000", api_key=key) as client:
        print(client.predict({"user_id": "8547-OGMLE"})["probability"])
"""

from asof.client.answers import Model, OutcomeVerdict, Prediction
from asof.client.client import AsyncClient, Client
from asof.client.errors import *  # noqa: F403 - exactly the names of its __all__
from asof.client.errors import __all__ as _errors
from asof.client.retries import Retries

__all__ = ["AsyncClient", "Client", "Model", "OutcomeVerdict", "Prediction", "Retries", *_errors]
