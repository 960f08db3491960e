-- The embedded store's first shape. Times are Unix seconds as REAL, ids are the 16 bytes of a UUID.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    user    INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL UNIQUE
);

-- A row holds neighbouring events of one user, one JSON text a line.
-- position = user << 36 | last_seq keeps a user's log together and in order.
-- parts is NULL, or where the parts of merged events end: JSON {"last_seq": [[seq, end], …], …}.
CREATE TABLE log (
    position   INTEGER PRIMARY KEY,
    first_seq  INTEGER NOT NULL,
    created_at REAL NOT NULL,
    events     BLOB NOT NULL,
    parts      TEXT
);

-- What the latest commits appended, one row a commit, until it is folded into the log: a commit then writes few pages,
-- however many users it serves. A row is a chain of chunks: user, first_seq, last_seq, length (8 bytes each,
-- big-endian) and the events of one user, one JSON text a line.
CREATE TABLE tail (
    id         INTEGER PRIMARY KEY,
    created_at REAL NOT NULL,
    chunks     BLOB NOT NULL
);

CREATE TABLE threads (
    thread        INTEGER PRIMARY KEY,
    thread_id     BLOB NOT NULL UNIQUE,
    user          INTEGER NOT NULL,
    title         TEXT NOT NULL,
    metadata      TEXT NOT NULL,
    created_at    REAL NOT NULL,
    updated_at    REAL NOT NULL,
    message_count INTEGER NOT NULL
);
CREATE INDEX threads_of_user ON threads (user);

-- position = thread << 24 | number of the message in its thread, from 1.
CREATE TABLE messages (
    position   INTEGER PRIMARY KEY,
    message_id BLOB NOT NULL,
    role       INTEGER NOT NULL,
    content    TEXT NOT NULL,
    created_at REAL NOT NULL,
    run_id     BLOB,
    incomplete INTEGER NOT NULL
);

-- outcome is NULL while the run is not over.
CREATE TABLE runs (
    run_id     BLOB PRIMARY KEY,
    user       INTEGER NOT NULL,
    thread_id  BLOB NOT NULL,
    agent_name TEXT NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER,
    outcome    INTEGER,
    created_at REAL NOT NULL,
    ended_at   REAL
) WITHOUT ROWID;
CREATE INDEX runs_active ON runs (user) WHERE outcome IS NULL;

CREATE TABLE requests (
    user       INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    digest     BLOB NOT NULL,
    answer     TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (user, request_id)
) WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests (created_at);
