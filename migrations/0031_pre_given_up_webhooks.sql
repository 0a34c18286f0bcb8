-- webhook_workers.disabled: how many webhooks were given up, for a metric and an alert.
-- Locks: webhook_workers for a moment. Undo: ALTER TABLE webhook_workers DROP COLUMN disabled.
SET LOCAL lock_timeout = '4s';
ALTER TABLE webhook_workers ADD COLUMN disabled bigint NOT NULL DEFAULT 0 CHECK (disabled >= 0);
