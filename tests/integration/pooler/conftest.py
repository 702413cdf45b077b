"""A PostgreSQL of this part's own: its tests stop it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.servers.installation import Installation
from deploy.servers.postgres import Postgres


@pytest.fixture(scope="package")
def catalog(installation: Installation) -> Iterator[Postgres]:
    with Postgres(installation=installation, fsync=False) as postgres:
        postgres.execute(
            "CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL)",
            "INSERT INTO stock SELECT id, 0 FROM generate_series(0, 999) AS id",
            "GRANT SELECT, UPDATE ON stock TO catalog_app",
            database="catalog",
        )
        yield postgres
