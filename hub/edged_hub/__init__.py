"""The central hub: ingest, history, training and the API."""
