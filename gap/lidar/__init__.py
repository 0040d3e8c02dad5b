"""The lidar's part of the gap: a map from the log, residuals split by source, noise that is fitted to what is left."""
