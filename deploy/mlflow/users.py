"""Creates the users `training` and `serving` of an MLflow server, or sets their passwords; runs in MLflow's image.

Reads MLFLOW_TRACKING_URI, the administrator's MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and the users'
MLFLOW_TRAINING_PASSWORD and MLFLOW_SERVING_PASSWORD. `training` may change every experiment and model, `serving` may
only read (see readers.py).
"""

import os

import requests

TRAINING_RESOURCES = ("experiment", "registered_model")
ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"


def request(method: str, path: str, **body: str) -> bool:
    """Calls the REST API; returns False if the resource exists already. Raises HTTPError on other errors."""
    address = f"{os.environ['MLFLOW_TRACKING_URI']}/api/{path}"
    auth = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    response = requests.request(method, address, json=body, auth=auth, timeout=30)
    if not response.ok and ALREADY_EXISTS in response.text:
        return False
    response.raise_for_status()
    return True


def main() -> None:
    """Creates both users and grants `training` its permissions."""
    for name in ("training", "serving"):
        password = os.environ[f"MLFLOW_{name.upper()}_PASSWORD"]
        if request("POST", "2.0/mlflow/users/create", username=name, password=password):
            print(f"mlflow: user {name} created")
        else:
            request("PATCH", "2.0/mlflow/users/update-password", username=name, password=password)
    for kind in TRAINING_RESOURCES:
        grant = {"resource_type": kind, "resource_id": "*", "permission": "MANAGE"}
        request("POST", "3.0/mlflow/users/permissions/grant", username="training", **grant)


if __name__ == "__main__":
    main()
