-- run_commits, ledger_commits, tool_calls: a row of up to a page stays in one piece. Content is sealed, so compressing it only
-- cost time, and laying it aside in a table of its own made five records of the write-ahead log out of one row.
-- Locks: the tables against other changes of their description; rows that are there stay as they are.
-- Undo: ALTER TABLE … RESET (toast_tuple_target).
SET LOCAL lock_timeout = '4s';

ALTER TABLE run_commits SET (toast_tuple_target = 8160);
ALTER TABLE ledger_commits SET (toast_tuple_target = 8160);
ALTER TABLE tool_calls SET (toast_tuple_target = 8160);
