"""Floorcast: a physical-AI simulator for warehouse robots.

``import floorcast`` loads nothing heavy: no PyBullet, Ray or compiled kernels. Import the floor you need, for example
``from floorcast.layouts import Layout``.
"""

__version__ = "0.1.0"
