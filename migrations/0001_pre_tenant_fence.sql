-- app_tenant(): the tenant of this transaction, for the fence on every table that has a tenant_id.
-- Raises when none is set, so that a forgotten setting is an error and never an empty or an unfiltered answer.
-- Policies write `(SELECT app_tenant())`: evaluated once a statement, not once a row.
-- Locks: nothing existing. Undo: DROP FUNCTION app_tenant(); GRANT ALL ON SCHEMA public TO PUBLIC.
SET LOCAL lock_timeout = '4s';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO fairlead_app, fairlead_engine;

CREATE FUNCTION app_tenant() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Unset is NULL in a fresh session and empty text in one where an earlier transaction had set it.
    tenant text := current_setting('app.tenant_id', true);
BEGIN
    IF tenant IS NULL OR tenant = '' THEN
        RAISE EXCEPTION 'no tenant is set for this transaction' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN tenant;
END
$$;
REVOKE ALL ON FUNCTION app_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app_tenant() TO fairlead_app, fairlead_engine;
