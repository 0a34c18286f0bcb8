-- claim_requests, settle_requests: idempotency keys of many requests in one round trip. Each element is fenced to its own
-- tenant, so row security holds inside as it does outside. Keys are taken in one order: two callers never wait in a ring.
-- Locks: idempotency, for as long as a setting takes. Undo: DROP FUNCTION claim_requests, settle_requests; ALTER TABLE
-- idempotency RESET (fillfactor).
SET LOCAL lock_timeout = '4s';

ALTER TABLE idempotency SET (fillfactor = 40);  -- a row grows by its answer, on its own page and without new index entries

-- A row that has run out is as good as none; so is one whose holder's lease has, except that its command id stays. The
-- lease is a little longer than a request waits for an engine. Should two carry out the same, they do it under one id.
-- `claimed` is the id to work under; without it the rest says what is there. No row at all: it was just given up.
CREATE FUNCTION claim_requests(
    tenants text[], principals text[], keys bytea[], requests bytea[], commands text[],
    OUT place bigint, OUT claimed text, OUT request bytea, OUT status smallint, OUT headers jsonb, OUT body bytea
) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    n bigint;
BEGIN
    FOR n IN SELECT at FROM unnest(keys) WITH ORDINALITY AS asked (key, at) ORDER BY key, at LOOP
        PERFORM set_config('app.tenant_id', tenants[n], true);
        place := n; request := NULL; status := NULL; headers := NULL; body := NULL;
        INSERT INTO idempotency AS i (tenant_id, principal_id, key_sha256, request_sha256, command_id, lease_until)
        VALUES (tenants[n], principals[n], keys[n], requests[n], commands[n], now() + interval '12 seconds')
            ON CONFLICT (tenant_id, principal_id, key_sha256) DO UPDATE
           SET request_sha256 = excluded.request_sha256,
               command_id = CASE WHEN i.created_at > now() - interval '24 hours'
                                 THEN i.command_id ELSE excluded.command_id END,
               created_at = CASE WHEN i.created_at > now() - interval '24 hours' THEN i.created_at ELSE now() END,
               lease_until = excluded.lease_until, status = NULL, headers = NULL, body = NULL
         WHERE i.created_at <= now() - interval '24 hours'
            OR (i.status IS NULL AND i.lease_until <= now() AND i.request_sha256 = excluded.request_sha256)
        RETURNING i.command_id INTO claimed;
        IF claimed IS NULL THEN
            SELECT i.request_sha256, i.status, i.headers, i.body INTO request, status, headers, body
              FROM idempotency AS i
             WHERE i.tenant_id = tenants[n] AND i.principal_id = principals[n] AND i.key_sha256 = keys[n];
            CONTINUE WHEN NOT FOUND;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('app.tenant_id', '', true);
END
$$;

-- Keeps an answer that says something was done, forgets a refusal, lets go of what nothing is known of. Does not wait for
-- the disk: a request whose answer a crash took back is carried out again under its id, and finds what it did.
CREATE FUNCTION settle_requests(
    tenants text[], principals text[], keys bytea[], commands text[], statuses smallint[], headers jsonb[], bodies bytea[]
) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    n bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR n IN SELECT at FROM unnest(keys) WITH ORDINALITY AS asked (key, at) ORDER BY key, at LOOP
        PERFORM set_config('app.tenant_id', tenants[n], true);
        IF statuses[n] < 400 THEN
            UPDATE idempotency AS i
               SET status = statuses[n], headers = settle_requests.headers[n], body = bodies[n]
             WHERE i.tenant_id = tenants[n] AND i.principal_id = principals[n] AND i.key_sha256 = keys[n]
               AND i.command_id = commands[n] AND i.status IS NULL;
        ELSIF statuses[n] >= 500 THEN
            UPDATE idempotency AS i
               SET lease_until = now()
             WHERE i.tenant_id = tenants[n] AND i.principal_id = principals[n] AND i.key_sha256 = keys[n]
               AND i.command_id = commands[n] AND i.status IS NULL;
        ELSE
            DELETE FROM idempotency AS i
             WHERE i.tenant_id = tenants[n] AND i.principal_id = principals[n] AND i.key_sha256 = keys[n]
               AND i.command_id = commands[n] AND i.status IS NULL;
        END IF;
    END LOOP;
    PERFORM set_config('app.tenant_id', '', true);
    RETURN cardinality(keys);
END
$$;
REVOKE ALL ON FUNCTION claim_requests, settle_requests FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_requests, settle_requests TO fairlead_app;
