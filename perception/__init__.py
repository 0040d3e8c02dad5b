"""Perception: ray casting, cameras, lidars, labels and dataset writers. Never imports PyBullet."""
