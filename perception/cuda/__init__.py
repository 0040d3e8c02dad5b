"""The same sensors on a CUDA device (extra ``cuda``); imports without one, and without PyBullet."""
