"""The way of one asker from its annotations to its pods, each step with yes or no and why; pure."""

from router.observe.explanation.facts import Facts, Wanted
from router.observe.explanation.tree import tree
from router.observe.explanation.way import explain
from router.observe.explanation.words import Explanation, State, Step

__all__ = ["Explanation", "Facts", "State", "Step", "Wanted", "explain", "tree"]
