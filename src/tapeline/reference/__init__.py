"""The plain engine: what the compiled one means, in ordinary Python, and the oracle that it is tested against.

It shares no code with the compiled engine. Read it in this order: `tape`, `records`, `normaliser`, `book`, `features`, `activity` (what history is);
`messages`, `rules`, `venue` (what the exchange would have done with our orders); `market`, `account`, `gateway`, `orders` (what a strategy sees and may do);
`schedule`, `row`, `publisher`, `journal`, `engine` (when what happens). docs/ARCHITECTURE.md and docs/assumptions.md say the same in words.
"""

from tapeline.reference.book import DepthRow, depth_rows
from tapeline.reference.engine import replay, run
from tapeline.reference.features import FeatureRow, feature_rows
from tapeline.reference.normaliser import Normaliser, tape
from tapeline.reference.tape import TapeEvent
from tapeline.reference.window import Window

__all__ = ["DepthRow", "FeatureRow", "Normaliser", "TapeEvent", "Window", "depth_rows", "feature_rows", "replay", "run", "tape"]
