"""Sensors of many worlds on a CUDA device: the same maths as on the CPU, one thread for each beam or pixel."""
