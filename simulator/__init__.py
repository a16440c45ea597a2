"""Monthly StreamFlow extracts of any size, with the truth known.

    plan = SimulationPlan(last_as_of=month_end_before(today))
    simulation = simulate(plan, folder, progress=print)

Parameters are explained at `SimulationPlan`, the folders at `simulator.extracts`, the hazard at `simulator.hazard`.
"""

from asof.use_cases.churn.raw_schema import EXTRACT
from simulator.plan import SimulationPlan, month_end_before
from simulator.simulation import Progress, Simulation, simulate

__all__ = ["EXTRACT", "Progress", "Simulation", "SimulationPlan", "month_end_before", "simulate"]
