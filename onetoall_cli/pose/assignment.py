"""Pairs the rows and columns of a cost matrix at the least sum: the Hungarian method.

Source: Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
Computing 38, 1987. For the few people of a picture this is quick enough in NumPy.
"""

import numpy as np
from numpy.typing import NDArray


def cheapest_pairs(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The (row, column) pairs with the least sum of costs, by row; each row and column of the shorter side has one.

    Args:
        costs: (rows, columns), finite.
    """
    if costs.shape[0] > costs.shape[1]:
        return sorted((row, column) for column, row in cheapest_pairs(costs.T))
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    row_of = np.full(columns, -1)  # the row each column is given to
    for row in range(rows):
        _give_a_column(row, costs, row_price, column_price, row_of)
    return sorted((int(row_of[column]), int(column)) for column in np.flatnonzero(row_of >= 0))


def _give_a_column(
    row: int,
    costs: NDArray[np.float64],
    row_price: NDArray[np.float64],
    column_price: NDArray[np.float64],
    row_of: NDArray[np.intp],
) -> None:
    """Give one more row a column, moving others along the cheapest chain; the last three are changed in place."""
    columns = costs.shape[1]
    length = np.full(columns, np.inf)  # of the cheapest chain to each column found so far
    came_from = np.full(columns, -1)  # the column before it in that chain; -1: the row itself
    done = np.zeros(columns, dtype=bool)
    at, reached, last = row, 0.0, -1
    while True:
        through = reached + costs[at] - row_price[at] - column_price
        shorter = ~done & (through < length)
        length[shorter], came_from[shorter] = through[shorter], last
        last = int(np.where(done, np.inf, length).argmin())
        reached = float(length[last])
        if row_of[last] < 0:
            break
        done[last] = True
        at = int(row_of[last])
    row_price[row] += reached
    row_price[row_of[done]] += reached - length[done]
    column_price[done] -= reached - length[done]
    while last >= 0:
        before = int(came_from[last])
        row_of[last] = row_of[before] if before >= 0 else row
        last = before
