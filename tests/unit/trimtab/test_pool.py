"""What the pool says about the SQLAlchemy that it finds."""

from __future__ import annotations

import pytest
from sqlalchemy.pool import Pool

from trimtab import pool


def test_the_installed_sqlalchemy_has_what_the_pool_is_built_on() -> None:
    pool.check_sqlalchemy()


def test_a_sqlalchemy_that_lacks_something_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pool._INTERNALS, Pool, ("_do_get", "_do_something_new"))
    with pytest.raises(pool.UnsupportedSQLAlchemyError, match=r"has no Pool\._do_something_new.*install sqlalchemy"):
        pool.check_sqlalchemy()
