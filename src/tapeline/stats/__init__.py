"""Statistics of a run, as pure functions over the frames of a Result. What is not defined (0 / 0) is null, never NaN.

`metrics` names them all; `summary` puts them together; `money`, `risk`, `markouts`, `trips`, `inventory` and `orders` each have the formulas of one kind.
Amounts of different currencies are never added: a row that trades in two currencies has a line for each.
"""

from tapeline.stats.metrics import METRICS as METRICS
from tapeline.stats.summary import TOTAL as TOTAL
from tapeline.stats.summary import Stats as Stats
from tapeline.stats.summary import statistics as statistics
