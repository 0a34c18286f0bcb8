-- tool_calls: calls that are read back after a write, and what that came to.
-- Locks: tool_calls for as long as it takes to change its description; no row is rewritten or read.
-- Undo: ALTER TABLE tool_calls DROP COLUMN read_back, and the check of status as it was in 0006.
SET LOCAL lock_timeout = '4s';

ALTER TABLE tool_calls
    ADD COLUMN read_back text CHECK (read_back IN ('matched', 'drifted', 'unverifiable')),
    DROP CONSTRAINT tool_calls_status_check,
    ADD CONSTRAINT tool_calls_status_check CHECK (status IN (
        'requested', 'judged', 'awaiting_approval', 'dispatched', 'started', 'backing_off', 'unknown', 'verifying',
        'completed', 'failed', 'denied', 'released')) NOT VALID;
