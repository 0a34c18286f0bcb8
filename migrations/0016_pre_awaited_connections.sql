-- run_board, tool_calls: runs that wait for access to an account, found by the account when somebody gives it.
-- Locks: both tables; run_board is rewritten for its status (a second for about 200,000 runs), tool_calls is read once.
-- Undo: ALTER TABLE tool_calls DROP COLUMN connection_id, DROP COLUMN scope, and the checks and the status of 0006.
SET LOCAL lock_timeout = '4s';

ALTER TABLE tool_calls
    ADD COLUMN connection_id text COLLATE "C" CHECK (length(connection_id) <= 64),
    ADD COLUMN scope         text CHECK (length(scope) <= 500),
    DROP CONSTRAINT tool_calls_status_check,
    ADD CONSTRAINT tool_calls_status_check CHECK (status IN (
        'requested', 'judged', 'awaiting_approval', 'awaiting_connection', 'dispatched', 'started', 'backing_off',
        'unknown', 'verifying', 'completed', 'failed', 'denied', 'released'));
CREATE INDEX ON tool_calls (tenant_id, connection_id)
    WHERE status = 'awaiting_connection' OR compensation = 'waiting_for_person';

ALTER TABLE run_board
    DROP CONSTRAINT run_board_awaiting_check,
    ADD CONSTRAINT run_board_awaiting_check CHECK (awaiting IN (
        'work', 'approval', 'person', 'connection', 'signal', 'time', 'nothing')),
    ALTER COLUMN status SET EXPRESSION AS (CASE
        WHEN outcome IS NOT NULL THEN outcome
        WHEN paused_reason IS NOT NULL THEN 'paused'
        WHEN awaiting = 'approval' THEN 'waiting_for_approval'
        WHEN awaiting = 'person' THEN 'waiting_for_input'
        WHEN awaiting = 'connection' THEN 'waiting_for_connection'
        WHEN awaiting = 'signal' THEN 'waiting_for_signal'
        WHEN awaiting = 'time' THEN 'waiting_for_time'
        ELSE 'running' END);
