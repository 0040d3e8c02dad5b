"""Benchmarks of the sensors against the tools that people use today; nothing else in the package imports this."""
