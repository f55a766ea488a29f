"""Regressors of general use, with scikit-learn's interface: conditional log-partition values and expectiles.

>>> from extremal.regressors import ExpectileRegressor, GumbelRegressor
"""

from extremal.regressors.estimators import ExpectileRegressor, GumbelRegressor

__all__ = ["ExpectileRegressor", "GumbelRegressor"]
