"""The metrics of Table 3 from features: the Fréchet distance, precision, recall, density and coverage."""

from pivq.metrics.frechet import frechet_distance, frechet_from_moments
from pivq.metrics.neighbours import PRDC, prdc

__all__ = ["PRDC", "frechet_distance", "frechet_from_moments", "prdc"]
