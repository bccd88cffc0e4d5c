-- Times are milliseconds since 1970.

-- Whose events these are: a bot's user id. `passing`: of an embedded server, whose world ends with its
-- process.
CREATE TABLE world (
    id INTEGER PRIMARY KEY,
    bot TEXT NOT NULL UNIQUE,
    passing INTEGER NOT NULL,
    position TEXT NOT NULL DEFAULT '',
    seen INTEGER NOT NULL
);

CREATE TABLE script (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- Events that were committed together, numbered from `first` on; see batch.rs.
CREATE TABLE batch (
    first INTEGER PRIMARY KEY,
    world INTEGER NOT NULL,
    slots BLOB NOT NULL,
    events BLOB NOT NULL
);

-- Which pairs of event and script are done, for batches that are not over.
CREATE TABLE progress (
    first INTEGER PRIMARY KEY,
    done BLOB NOT NULL
);

-- De-duplication windows of the stream.
CREATE TABLE scope (
    world INTEGER NOT NULL,
    key BLOB NOT NULL,
    window BLOB NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (world, key)
) WITHOUT ROWID;

-- What handlers of unfinished events have asked for. `answer` is null while nobody knows it.
CREATE TABLE call (
    seq INTEGER NOT NULL,
    script INTEGER NOT NULL,
    position TEXT NOT NULL,
    question INTEGER NOT NULL,
    begun INTEGER NOT NULL,
    answer BLOB,
    PRIMARY KEY (seq, script, position)
) WITHOUT ROWID;

-- Recordings of events whose handlers failed.
CREATE TABLE failure (
    id INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    script TEXT NOT NULL,
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    recording TEXT NOT NULL
);
CREATE INDEX failure_of ON failure (event);

CREATE TABLE kv (
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires INTEGER,
    revision INTEGER NOT NULL,
    PRIMARY KEY (space, key)
) WITHOUT ROWID;
CREATE INDEX kv_expires ON kv (expires) WHERE expires IS NOT NULL;

-- The revision that was given last.
CREATE TABLE counter (value INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
