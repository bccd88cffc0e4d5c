-- The time up to which the runs of a script's timers were given.
CREATE TABLE timer (
    script INTEGER NOT NULL,
    name TEXT NOT NULL,
    given INTEGER NOT NULL,
    PRIMARY KEY (script, name)
) WITHOUT ROWID;
