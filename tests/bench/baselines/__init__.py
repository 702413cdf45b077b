"""What the rows are measured against: small applications, each written as its source writes it.

None is made slower than its author would make it. All are served by the same uvicorn with the same settings, get as
many database connections as ours, and answer with the same JSON.
"""
