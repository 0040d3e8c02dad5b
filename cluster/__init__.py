"""Cluster: farming episodes on Ray, the ledger and resume. The only folder that imports Ray."""
