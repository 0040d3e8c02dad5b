"""Robots: drive models, shapes, sensor mounts and calibrated twins."""
