-- Which messages of a channel came; see sightings.rs.
CREATE TABLE channel (
    world INTEGER NOT NULL,
    key BLOB NOT NULL,
    seen BLOB NOT NULL,
    PRIMARY KEY (world, key)
) WITHOUT ROWID;

-- When the bot's stream was opened for the first time: nothing older was ever missed.
ALTER TABLE world ADD COLUMN since INTEGER;
-- When the newest message was written before the gap that is open; null for none.
ALTER TABLE world ADD COLUMN gap_from INTEGER;
