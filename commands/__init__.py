"""Commands of the command line that are too many for one file, and what all of them share."""
