"""python -m local.chart: renders the chart with each example and checks every document; `make chart`.

Exit code 1 if anything is wrong, with a line for each problem.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from asof.errors import AsOfError
from asof.settings import PROJECT
from local.chart.check import check_chart

HELM = PROJECT / "deploy" / "helm"
VERSIONS = ["1.25", "1.31", "1.37"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="The folder with asof/ and examples/.")] = HELM,
    example: Annotated[str, typer.Option(help="One example alone; default: all.")] = "*",
    kubernetes: Annotated[list[str], typer.Option(help="Versions of Kubernetes.")] = VERSIONS,
    helm: Annotated[Path | None, typer.Option(help="Another helm than that of .venv-kubernetes.")] = None,
) -> None:
    """Check the chart."""
    try:
        count, problems = check_chart(folder, example, kubernetes, helm)
    except AsOfError as error:
        typer.echo(f"{error}", err=True)
        sys.exit(1)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        sys.exit(1)
    typer.echo(f"{count} documents are valid for Kubernetes {', '.join(kubernetes)}, and follow the chart's policies.")


if __name__ == "__main__":
    app()
