"""Episodes: scenarios, randomization, tasks, the episode loop and its record."""
