"""Benchmark of whole episodes: against a plain PyBullet loop, by parts, and how the cost grows.

Nothing else in the package imports this.
"""
