"""Fast reads: statements of SQLAlchemy Core, compiled once, run by asyncpg in one round trip, with typed rows.

class Item(NamedTuple):
    id: int
    name: str

GET = Statement("items.get", select(items.c.id, items.c.name).where(items.c.id == bindparam("id")), Item)
item = await Database(engine).first(GET, id=7)
"""

from trimtab.database.access import Database, Queries, Transaction
from trimtab.database.statement import Row, Statement

__all__ = ["Database", "Queries", "Row", "Statement", "Transaction"]
