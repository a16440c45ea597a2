"""The users `training` and `serving` of an MLflow server, made or given their password anew; run in MLflow's image.

In come MLFLOW_TRACKING_URI, the administrator's MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and the users'
MLFLOW_TRAINING_PASSWORD and MLFLOW_SERVING_PASSWORD. `training` may change every experiment and model, whoever made it;
`serving` may read (see readers.py). Repeated, it changes nothing.
"""

import os

from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client
from mlflow.server.auth.client import AuthServiceClient

TRAINING_MAY_CHANGE = ("experiment", "registered_model")


def keep_user(client: AuthServiceClient, name: str, password: str) -> None:
    """The user with this password."""
    try:
        client.get_user(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_user(name, password)
        print(f"mlflow: user {name} made")
    else:
        client.update_user_password(name, password)


def main() -> None:
    """Makes both users."""
    client = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    for name in ("training", "serving"):
        keep_user(client, name, os.environ[f"MLFLOW_{name.upper()}_PASSWORD"])
    for kind in TRAINING_MAY_CHANGE:
        client.grant_user_permission("training", kind, "*", "MANAGE")


if __name__ == "__main__":
    main()
