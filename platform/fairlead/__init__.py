"""Fairlead: the control plane for agents that act on real systems."""

from fairlead.waiting import mend

mend()
