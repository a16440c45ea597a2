"""Simulates monthly StreamFlow extracts of any size, with a known truth.

    plan = SimulationPlan(last_as_of=month_end_before(today))
    simulation = simulate(plan, folder, progress=print)

See `SimulationPlan` for the parameters, `simulator.extracts` for the folders, and `simulator.hazard` for the hazard.
"""

from asof.use_cases.churn.raw_schema import EXTRACT
from simulator.plan import SimulationPlan, month_end_before
from simulator.simulation import Progress, Simulation, simulate

__all__ = ["EXTRACT", "Progress", "Simulation", "SimulationPlan", "month_end_before", "simulate"]
