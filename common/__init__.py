"""Common: errors, strict configuration, seeds, files and geometry that every floor uses. Loads no simulator."""
