-- What each user keeps, counted in the transactions that keep it, and threads whose messages are still to be removed.

-- bytes: `content` of messages and `metadata` of threads.
ALTER TABLE users ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN threads INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN request_ids INTEGER NOT NULL DEFAULT 0;
ALTER TABLE threads ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

-- Threads that were deleted, for as long as some of their messages are left.
CREATE TABLE deleted_threads (
    thread INTEGER PRIMARY KEY
);

CREATE INDEX runs_ended ON runs (user) WHERE outcome IS NOT NULL;
DROP INDEX requests_by_age;
CREATE INDEX requests_by_age ON requests (user, created_at);

UPDATE threads SET bytes = octet_length(metadata) + kept.bytes
    FROM (SELECT position >> 24 AS thread, sum(octet_length(content)) AS bytes FROM messages GROUP BY position >> 24) AS kept
    WHERE kept.thread = threads.thread;
UPDATE threads SET bytes = octet_length(metadata) WHERE bytes = 0;
UPDATE users SET bytes = kept.bytes, threads = kept.threads, messages = kept.messages
    FROM (SELECT user, sum(bytes) AS bytes, count(*) AS threads, sum(message_count) AS messages FROM threads GROUP BY user) AS kept
    WHERE kept.user = users.user;
UPDATE users SET runs = kept.runs
    FROM (SELECT user, count(*) AS runs FROM runs WHERE outcome IS NOT NULL GROUP BY user) AS kept
    WHERE kept.user = users.user;
UPDATE users SET request_ids = kept.request_ids
    FROM (SELECT user, count(*) AS request_ids FROM requests GROUP BY user) AS kept
    WHERE kept.user = users.user;
