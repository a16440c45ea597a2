"""MLflow's basic auth, plus users that may only read.

Without workspaces MLflow (3.17) lets every user create experiments and models, whatever `default_permission` says.
"""

from flask import Response, make_response, request
from mlflow.server.auth import authenticate_request_basic_auth
from werkzeug.datastructures import Authorization

READERS = frozenset({"serving"})
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def authorise() -> Authorization | Response:
    """MLflow's `authorization_function`: its own basic auth, then 403 for writes of a read-only user."""
    authorization = authenticate_request_basic_auth()
    if (
        isinstance(authorization, Authorization)
        and authorization.username in READERS
        and request.method not in READ_METHODS
    ):
        return make_response(f"{authorization.username} may only read.", 403)
    return authorization
