"""A request to MLflow -> whose it is, or its refusal: basic auth, and users who may only read.

Without workspaces MLflow lets every user make experiments and models (3.17), whatever `default_permission` says.
"""

from flask import Response, make_response, request
from mlflow.server.auth import authenticate_request_basic_auth
from werkzeug.datastructures import Authorization

READERS = frozenset({"serving"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})


def authorise() -> Authorization | Response:
    """MLflow's `authorization_function`: its own basic auth first, then 403 where a reader would write."""
    told = authenticate_request_basic_auth()
    if isinstance(told, Authorization) and told.username in READERS and request.method not in READING:
        return make_response(f"{told.username} may only read.", 403)
    return told
