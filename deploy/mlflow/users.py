"""The users `training` and `serving` of an MLflow server, made or given their password anew; run in MLflow's image.

In come MLFLOW_TRACKING_URI, the administrator's MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and the users'
MLFLOW_TRAINING_PASSWORD and MLFLOW_SERVING_PASSWORD. `training` may change every experiment and model, whoever made it;
`serving` may read (see readers.py). Repeated, it changes nothing.
"""

import os

import requests

TRAINING_MAY_CHANGE = ("experiment", "registered_model")
ALREADY = "RESOURCE_ALREADY_EXISTS"


def ask(method: str, what: str, **body: str) -> bool:
    """Whether the server did it; False where it is there already. Raises HTTPError where it refuses."""
    address = f"{os.environ['MLFLOW_TRACKING_URI']}/api/{what}"
    who = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    answer = requests.request(method, address, json=body, auth=who, timeout=30)
    if not answer.ok and ALREADY in answer.text:
        return False
    answer.raise_for_status()
    return True


def main() -> None:
    """Makes both users."""
    for name in ("training", "serving"):
        password = os.environ[f"MLFLOW_{name.upper()}_PASSWORD"]
        if ask("POST", "2.0/mlflow/users/create", username=name, password=password):
            print(f"mlflow: user {name} made")
        else:
            ask("PATCH", "2.0/mlflow/users/update-password", username=name, password=password)
    for kind in TRAINING_MAY_CHANGE:
        grant = {"resource_type": kind, "resource_id": "*", "permission": "MANAGE"}
        ask("POST", "3.0/mlflow/users/permissions/grant", username="training", **grant)


if __name__ == "__main__":
    main()
