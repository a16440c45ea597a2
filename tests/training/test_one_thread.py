"""The limit to one thread holds for the first fit of a process too, when the libraries are not loaded yet."""

import os
import subprocess
import sys

from asof.settings import PROJECT

FIRST_FIT = """
from training.one_thread import one_thread
with one_thread():
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_info
    pools = threadpool_info()
print({pool["user_api"] for pool in pools} >= {"openmp", "blas"}, {pool["num_threads"] for pool in pools})
"""


def test_the_first_fit_of_a_process_takes_one_thread() -> None:
    command = [sys.executable, "-c", FIRST_FIT]
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    found = subprocess.run(command, cwd=PROJECT, env=own, capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.strip() == "True {1}"
