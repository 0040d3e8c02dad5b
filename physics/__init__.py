"""Physics: the PyBullet world where robots, goods and people touch."""
