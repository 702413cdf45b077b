"""What the pool says about the SQLAlchemy that it finds."""

from __future__ import annotations

import pytest
from sqlalchemy.pool import Pool

from trimtab.pool import check


def test_the_installed_sqlalchemy_has_what_the_pool_is_built_on() -> None:
    check.check_sqlalchemy()


def test_a_sqlalchemy_that_lacks_something_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check._INTERNALS, Pool, ("_do_get", "_do_something_new"))
    with pytest.raises(check.UnsupportedSQLAlchemyError, match=r"has no Pool\._do_something_new.*install sqlalchemy"):
        check.check_sqlalchemy()
