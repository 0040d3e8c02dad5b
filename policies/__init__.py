"""Policies: what drives the robots, and how a policy is found by name."""
