-- What came since the tables `scope`, `channel` and `world` were written last; see came.rs.
CREATE TABLE trail (
    id INTEGER PRIMARY KEY,
    world INTEGER NOT NULL,
    at INTEGER NOT NULL,
    notes BLOB NOT NULL
);
