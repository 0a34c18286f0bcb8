-- run_board, tool_calls: what a run that ended without completing undoes, and how far that is.
-- The check of 0010 is made good for rows that were there before, so that a rebuilt table is the same.
-- Locks: both tables for as long as it takes to change their description and to read tool_calls; no row is rewritten.
-- Undo: ALTER TABLE run_board DROP COLUMN compensation; ALTER TABLE tool_calls DROP COLUMN compensation.
SET LOCAL lock_timeout = '4s';

ALTER TABLE run_board
    ADD COLUMN compensation text NOT NULL DEFAULT 'none' CHECK (compensation IN (
        'none', 'under_way', 'waiting_for_person', 'done', 'incomplete'));
ALTER TABLE tool_calls
    ADD COLUMN compensation text CHECK (compensation IN (
        'planned', 'under_way', 'waiting_for_person', 'undone', 'nothing_to_undo', 'by_hand', 'left'));
ALTER TABLE tool_calls VALIDATE CONSTRAINT tool_calls_status_check;
