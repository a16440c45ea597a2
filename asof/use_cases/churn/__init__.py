"""StreamFlow customer churn: who leaves in the month after the snapshot."""

from asof.targets import Binary
from asof.use_case import FromStore, UseCase
from asof.use_cases.churn.estimators import ESTIMATORS
from asof.use_cases.churn.payloads import ChurnAnswer, ChurnRequest, respond
from asof.use_cases.churn.questions import questions
from asof.use_cases.churn.raw_schema import EXTRACT

USE_CASE = UseCase(
    name="churn",
    model_name="streamflow_churn",
    title="StreamFlow customer churn",
    source=FromStore(EXTRACT),
    target=Binary(("stays", "leaves")),
    estimators=ESTIMATORS,
    request=ChurnRequest,
    answer=ChurnAnswer,
    respond=respond,
    questions=questions,
    acknowledged=(
        # signup_date counts months as days: 72 months "signed up" 36 days before the newest. churn_v2 leaves it out.
        "contradiction:subscriptions.months_active~users.signup_date",
        # The extract of February repeats January's subscriptions. They are still the latest known of a user.
        "stands-still:subscriptions.months_active",
        # February's labels are unrelated to January's: the concept changed, and each month is trained by itself.
        "labels-unrelated:labels.churn_label",
    ),
)
