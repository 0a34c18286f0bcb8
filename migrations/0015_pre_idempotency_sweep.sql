-- idempotency: the engine deletes what has stopped counting, tenant by tenant and inside the fence, so that the rows of a
-- tenant that sends nothing more go too. It sees which rows there are and when they began, no answer and no request.
-- Locks: nothing. Undo: REVOKE SELECT (tenant_id, principal_id, key_sha256, created_at), DELETE ON idempotency FROM
-- fairlead_engine.
SET LOCAL lock_timeout = '4s';

GRANT SELECT (tenant_id, principal_id, key_sha256, created_at), DELETE ON idempotency TO fairlead_engine;
