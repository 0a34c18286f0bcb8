-- A projection is rebuilt in tables of the same names in the schema `rebuild`, which then take the place of the live
-- ones in one transaction. Indexes are left to be named by the server, so that both generations name them alike.
-- Locks: nothing existing. Undo: DROP FUNCTION rebuild.make(text), rebuild.put_in_place(text);
-- DROP TABLE rebuild.projection_positions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE rebuild.projection_positions (LIKE public.projection_positions INCLUDING ALL);

-- An empty table like public.<name>: columns, checks, indexes, storage, fence and grants.
CREATE FUNCTION rebuild.make(name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    live    regclass := format('public.%I', name);
    options text     := (SELECT array_to_string(c.reloptions, ', ') FROM pg_class c WHERE c.oid = live);
    held    record;
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS rebuild.%I', name);
    EXECUTE format('CREATE TABLE rebuild.%1$I (LIKE public.%1$I INCLUDING ALL)', name);
    IF options IS NOT NULL THEN
        EXECUTE format('ALTER TABLE rebuild.%I SET (%s)', name, options);
    END IF;
    EXECUTE format('ALTER TABLE rebuild.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE rebuild.%I FORCE ROW LEVEL SECURITY', name);
    FOR held IN
        SELECT p.polname AS name, pg_get_expr(p.polqual, p.polrelid) AS condition,
               CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'w' THEN 'UPDATE' ELSE 'ALL' END AS command,
               CASE WHEN p.polroles = '{0}' THEN 'PUBLIC' ELSE (
                   SELECT string_agg(role::regrole::text, ', ') FROM unnest(p.polroles) AS role) END AS roles
          FROM pg_policy p
         WHERE p.polrelid = live
    LOOP
        EXECUTE format('CREATE POLICY %I ON rebuild.%I FOR %s TO %s USING (%s)',
                       held.name, name, held.command, held.roles, held.condition);
    END LOOP;
    FOR held IN
        SELECT a.grantee::regrole::text AS role, a.privilege_type AS privilege
          FROM pg_class c, aclexplode(c.relacl) AS a
         WHERE c.oid = live AND a.grantee <> c.relowner
         UNION ALL
        SELECT a.grantee::regrole::text, format('%s (%I)', a.privilege_type, t.attname)
          FROM pg_attribute t, aclexplode(t.attacl) AS a
         WHERE t.attrelid = live
    LOOP
        EXECUTE format('GRANT %s ON rebuild.%I TO %s', held.privilege, name, held.role);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION rebuild.make(text) FROM PUBLIC;

-- Readers wait for the end of the transaction and then find the new table under the old name.
CREATE FUNCTION rebuild.put_in_place(name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('DROP TABLE public.%I', name);
    EXECUTE format('ALTER TABLE rebuild.%I SET SCHEMA public', name);
END
$$;
REVOKE ALL ON FUNCTION rebuild.put_in_place(text) FROM PUBLIC;
