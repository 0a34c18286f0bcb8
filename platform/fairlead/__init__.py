"""Fairlead: the control plane for agents that act on real systems."""
