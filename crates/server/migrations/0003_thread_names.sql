-- Threads by the names that clients give them. A name is one user's: the same text of two users names two threads, and a
-- name is free again once its thread is deleted. `thread` is never given twice, so what belongs to a deleted thread
-- never meets a new one of its name.

CREATE TABLE threads_new (
    thread        INTEGER PRIMARY KEY AUTOINCREMENT,
    user          INTEGER NOT NULL,
    thread_id     TEXT NOT NULL,
    title         TEXT NOT NULL,
    metadata      TEXT NOT NULL,
    created_at    REAL NOT NULL,
    updated_at    REAL NOT NULL,
    message_count INTEGER NOT NULL,
    UNIQUE (user, thread_id)
);
INSERT INTO threads_new
SELECT thread, user,
       lower(substr(hex(thread_id), 1, 8) || '-' || substr(hex(thread_id), 9, 4) || '-' || substr(hex(thread_id), 13, 4)
             || '-' || substr(hex(thread_id), 17, 4) || '-' || substr(hex(thread_id), 21)),
       title, metadata, created_at, updated_at, message_count
FROM threads;

-- thread is 0 where it was deleted before this migration.
CREATE TABLE runs_new (
    run_id     BLOB PRIMARY KEY,
    user       INTEGER NOT NULL,
    thread     INTEGER NOT NULL,
    thread_id  TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER,
    outcome    INTEGER,
    created_at REAL NOT NULL,
    ended_at   REAL
) WITHOUT ROWID;
INSERT INTO runs_new
SELECT run_id, runs.user, coalesce(thread, 0),
       lower(substr(hex(runs.thread_id), 1, 8) || '-' || substr(hex(runs.thread_id), 9, 4) || '-'
             || substr(hex(runs.thread_id), 13, 4) || '-' || substr(hex(runs.thread_id), 17, 4) || '-'
             || substr(hex(runs.thread_id), 21)),
       agent_name, first_seq, last_seq, outcome, runs.created_at, ended_at
FROM runs LEFT JOIN threads USING (thread_id);

DROP TABLE threads;
DROP TABLE runs;
ALTER TABLE threads_new RENAME TO threads;
ALTER TABLE runs_new RENAME TO runs;
CREATE INDEX runs_active ON runs (user) WHERE outcome IS NULL;
