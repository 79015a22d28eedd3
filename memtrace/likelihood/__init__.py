"""What log-likelihoods say of training order, and of what sampling would extract."""

from memtrace.likelihood.order.fit import OrderFit, order_of_rows

__all__ = ["OrderFit", "order_of_rows"]
