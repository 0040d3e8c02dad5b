"""Importers: from a site's own files to a ``Layout``."""
