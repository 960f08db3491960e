-- Accounts, logins and what was revoked. Times are Unix seconds as REAL.

-- password is an argon2 hash in PHC form; permissions are names, separated by spaces.
CREATE TABLE accounts (
    user_id     TEXT PRIMARY KEY,
    password    TEXT NOT NULL,
    permissions TEXT NOT NULL,
    disabled    INTEGER NOT NULL,
    created_at  REAL NOT NULL
) WITHOUT ROWID;

-- One row a login. refresh is the SHA-256 of the one refresh token that is good; a login that ended is no row.
CREATE TABLE logins (
    session_id TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    refresh    BLOB NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX logins_of_user ON logins (user_id, created_at);
CREATE INDEX logins_by_end ON logins (expires_at);

-- kind is 0 for a token (name = jti), 1 for a login (sid), 2 for all tokens of a user made up to `at`.
CREATE TABLE revocations (
    kind  INTEGER NOT NULL,
    name  TEXT NOT NULL,
    at    REAL NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX revocations_by_end ON revocations (until);
