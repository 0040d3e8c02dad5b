"""Looking at episodes: played back from their records as films and as MCAP files."""
