"""Assets: package data (robot shapes, scenarios, gates, the bundled field log)."""
