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
    live pg_class := c FROM pg_class c WHERE c.oid = format('public.%I', name)::regclass;
    held record;
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS rebuild.%I', name);
    EXECUTE format('CREATE TABLE rebuild.%1$I (LIKE public.%1$I INCLUDING ALL)', name);
    IF live.reloptions IS NOT NULL THEN
        EXECUTE format('ALTER TABLE rebuild.%I SET (%s)', name, array_to_string(live.reloptions, ', '));
    END IF;
    EXECUTE format('ALTER TABLE rebuild.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE rebuild.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY tenant_fence ON rebuild.%I USING (tenant_id = (SELECT public.app_tenant()))', name);
    FOR held IN
        SELECT a.grantee::regrole::text AS grantee, a.privilege_type
          FROM aclexplode(live.relacl) a
         WHERE a.grantee <> live.relowner
    LOOP
        EXECUTE format('GRANT %s ON rebuild.%I TO %s', held.privilege_type, name, held.grantee);
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
