"""Validation: statistics over episodes, gates and the report page."""
