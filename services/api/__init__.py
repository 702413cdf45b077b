"""The reference service: a shop catalog with users, items, orders and a report.

Reading order: settings, tables, database (statements and the pool), catalog (what the endpoints work with), app, then a
folder a feature: endpoints, service, repository, schemas.
"""
