"""The fence between tenants holds in the database itself, whatever a query forgets."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.database import DatabaseUrls

ALICE, BOB = "tnt_alice", "tnt_bob"

_UNFENCED = """
SELECT c.oid::regclass::text
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
         SELECT FROM pg_policy p
          WHERE p.polrelid = c.oid AND p.polname = 'tenant_fence' AND p.polcmd = '*' AND p.polpermissive
            AND p.polroles = '{0}' AND p.polwithcheck IS NULL
            AND pg_get_expr(p.polqual, c.oid) = '(tenant_id = ( SELECT app_tenant() AS app_tenant))'))
"""
_MORE_POLICIES = """
SELECT polrelid::regclass::text, polname, polcmd, polroles::regrole[]::text
  FROM pg_policy
 WHERE polname <> 'tenant_fence'
 ORDER BY polname, polrelid::regclass::text
"""
_KEYS_NOT_LED_BY_TENANT = """
SELECT i.indexrelid::regclass::text
  FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'tenant_id' AND NOT a.attisdropped
 WHERE i.indkey[0] <> a.attnum
"""
_ROLES = """
SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname LIKE 'fairlead%' ORDER BY rolname
"""
_OWNERS = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'rebuild')"
_TENANT_TABLES = """
SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public'
"""
_PARK = """
INSERT INTO parked_commits (tenant_id, name, build, sequence, shard, kind, stream_id, error_class, message)
VALUES (%(tenant)s, 'run_board', 1, %(sequence)s, 0, 'run', 'run_1', 'ValueError', 'no')
"""
_SET = "SELECT set_config('app.tenant_id', %(tenant)s, true)"
_ALL_ROWS = "SELECT tenant_id FROM parked_commits"


@pytest.fixture(scope="module", autouse=True)
def two_tenants(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.engine) as connection:
        for sequence, tenant in enumerate((ALICE, BOB), start=1):
            connection.execute(_SET, {"tenant": tenant})
            connection.execute(_PARK, {"tenant": tenant, "sequence": sequence})


def test_every_table_with_a_tenant_has_the_forced_fence_and_only_the_watch_sees_past_it(
    database_urls: DatabaseUrls,
) -> None:
    with psycopg.connect(database_urls.admin) as connection:
        assert connection.execute(_UNFENCED).fetchall() == []
        assert connection.execute(_MORE_POLICIES).fetchall() == [
            ("switch_pauses", "keeper_sees_all", "r", "{fairlead_engine}"),
            ("ledger_commits", "ledger_is_compared", "r", "{fairlead_owner}"),
            ("ledger_trees", "ledger_sees_all", "r", "{fairlead_engine,fairlead_owner}"),
            ("model_hours", "of_nobody", "*", "{-}"),
            ("model_meters", "of_nobody", "*", "{-}"),
            ("open_work", "watch_postpones_all", "w", "{fairlead_engine}"),
            ("open_work", "watch_sees_all", "r", "{fairlead_engine}"),
        ]


def test_the_catalogue_test_would_notice_a_table_without_a_fence(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("CREATE TABLE forgotten (tenant_id text)")
        assert connection.execute(_UNFENCED).fetchall() == [("forgotten",)]
        connection.execute("ALTER TABLE forgotten ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY tenant_fence ON forgotten USING (tenant_id = (SELECT app_tenant()))")
        assert connection.execute(_UNFENCED).fetchall() == [("forgotten",)], "not forced: the owner is not fenced"
        connection.rollback()


def test_every_key_and_index_of_a_table_with_a_tenant_begins_with_it(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.admin) as connection:
        assert connection.execute(_KEYS_NOT_LED_BY_TENANT).fetchall() == []


def test_no_program_role_owns_a_table_or_passes_the_fence(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.admin) as connection:
        roles = connection.execute(_ROLES).fetchall()
        owners = connection.execute(_OWNERS).fetchall()
    assert roles == [(f"fairlead_{name}", False, False, False) for name in ("app", "engine", "owner")]
    assert owners == [("fairlead_owner",)]


@pytest.mark.parametrize("role", ["app", "engine", "owner"])
def test_a_query_without_a_filter_sees_only_the_rows_of_its_tenant(database_urls: DatabaseUrls, role: str) -> None:
    with psycopg.connect(getattr(database_urls, role)) as connection:
        for tenant in (ALICE, BOB):
            connection.execute(_SET, {"tenant": tenant})
            assert connection.execute(_ALL_ROWS).fetchall() == [(tenant,)]


@pytest.mark.parametrize("role", ["app", "engine", "owner"])
def test_without_a_tenant_a_query_raises_in_a_fresh_and_in_a_used_session(
    database_urls: DatabaseUrls, role: str
) -> None:
    with psycopg.connect(getattr(database_urls, role)) as connection:
        _refused(connection, _ALL_ROWS)
        connection.execute(_SET, {"tenant": ALICE})
        connection.commit()
        assert connection.execute("SELECT current_setting('app.tenant_id', true)").fetchall() == [("",)]
        _refused(connection, _ALL_ROWS)


def test_the_rows_of_another_tenant_can_be_neither_written_changed_nor_deleted(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.engine) as connection:
        connection.execute(_SET, {"tenant": ALICE})
        connection.commit()
        connection.execute(_SET, {"tenant": ALICE})
        assert connection.execute("DELETE FROM parked_commits WHERE tenant_id = 'tnt_bob'").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(_PARK, {"tenant": BOB, "sequence": 9})


def test_the_application_may_not_write_what_consumers_write(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.app) as connection:
        connection.execute(_SET, {"tenant": ALICE})
        _refused(connection, _PARK, {"tenant": ALICE, "sequence": 9})


def test_the_watch_sees_and_postpones_the_work_of_all_tenants_and_can_do_no_more(database_urls: DatabaseUrls) -> None:
    add = "INSERT INTO open_work (tenant_id, run_id, look_at, stream_version) VALUES (%(tenant)s, 'run_1', now(), 1)"
    with psycopg.connect(database_urls.engine) as connection:
        for tenant in (ALICE, BOB):
            connection.execute(_SET, {"tenant": tenant})
            connection.execute(add, {"tenant": tenant})
        _refused_within(connection, "UPDATE open_work SET tenant_id = 'tnt_alice'")
        _refused_within(connection, add, {"tenant": ALICE})
        assert connection.execute("DELETE FROM open_work").rowcount == 1, "Bob's own"
        connection.commit()
    with psycopg.connect(database_urls.engine) as connection:
        assert connection.execute("SELECT tenant_id FROM open_work").fetchall() == [(ALICE,)]
        assert connection.execute("UPDATE open_work SET look_at = now()").rowcount == 1
    with psycopg.connect(database_urls.app) as connection:
        _refused(connection, "SELECT tenant_id FROM open_work")


def test_no_program_role_may_make_tables_or_see_tables_under_construction(database_urls: DatabaseUrls) -> None:
    for url in (database_urls.app, database_urls.engine):
        with psycopg.connect(url) as connection:
            _refused(connection, "CREATE TABLE mine (x integer)")
            _refused(connection, "CREATE TABLE rebuild.mine (x integer)")


def test_every_table_raises_without_a_tenant(database_urls: DatabaseUrls) -> None:
    with psycopg.connect(database_urls.admin) as admin:
        tables = admin.execute(_TENANT_TABLES).fetchall()
    with psycopg.connect(database_urls.owner) as connection:
        for (table,) in tables:
            insert = sql.SQL("INSERT INTO {} (tenant_id) VALUES ('tnt_alice')").format(sql.Identifier(table))
            _refused(connection, insert)


def _refused_within(connection: psycopg.Connection[Any], statement: Any, params: dict[str, Any] | None = None) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute(statement, params)


def _refused(connection: psycopg.Connection[Any], statement: Any, params: dict[str, Any] | None = None) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement, params)
    connection.rollback()
