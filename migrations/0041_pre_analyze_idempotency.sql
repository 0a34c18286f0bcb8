-- idempotency: the engine has the server learn what is in it, as it does for its own tables. Until then a plan for one key is
-- taken for as good as one that reads all keys of a tenant, and is kept.
-- Locks: nothing. Undo: REVOKE MAINTAIN ON idempotency FROM fairlead_engine.
SET LOCAL lock_timeout = '4s';

GRANT MAINTAIN ON idempotency TO fairlead_engine;
