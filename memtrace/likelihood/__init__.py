"""What log-likelihoods say of training order, and of what sampling would extract."""

from functools import partial

from memtrace.likelihood.extraction.fit import ExtractionFit, fit_extraction
from memtrace.likelihood.order.fit import OrderFit, order_of_rows
from memtrace.likelihood.order.of_run import earliest_baseline, test_order
from memtrace.likelihood.power import LikelihoodModel, OrderPower, simulate_order
from memtrace.storage.modules import submodule

__all__ = [
    "ExtractionFit",
    "LikelihoodModel",
    "OrderFit",
    "OrderPower",
    "earliest_baseline",
    "fit_extraction",
    "order_of_rows",
    "simulate_order",
    "test_order",
]

__getattr__ = partial(submodule, __name__)
