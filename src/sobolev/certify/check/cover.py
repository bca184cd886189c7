"""Whether boxes fill another one."""

import math
from collections.abc import Sequence
from itertools import pairwise

Box = list[tuple[float, float]]


def covers(box: Sequence[tuple[float, float]], boxes: list[Box]) -> bool:
    """Whether boxes fill another one; a plane that none of them crosses parts them, again and again."""
    if len(boxes) <= 1:
        return any(all(c[0] <= a and b <= c[1] for (a, b), c in zip(box, cell, strict=True)) for cell in boxes)
    for axis in range(len(box)):
        order = sorted(boxes, key=lambda cell: cell[axis])
        cuts, reach = [], -math.inf
        for count, (cell, after) in enumerate(pairwise(order), 1):
            reach = max(reach, cell[axis][1])
            if reach <= after[axis][0]:
                cuts.append((abs(count - len(order) / 2), count, reach, after[axis][0]))
        if cuts:
            _, count, left, right = min(cuts)
            parts = [[*box[:axis], ends, *box[axis + 1 :]] for ends in ((box[axis][0], left), (right, box[axis][1]))]
            return left == right and covers(parts[0], order[:count]) and covers(parts[1], order[count:])
    return False
