"""Layouts: the static hall, its generator, checks and drawings."""
