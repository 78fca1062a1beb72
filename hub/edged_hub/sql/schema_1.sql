-- Version 1 of the embedded store. Rows refer to their batch by number; the views show the whole key.

CREATE TABLE IF NOT EXISTS streams (
    stream_id INTEGER PRIMARY KEY,
    node TEXT NOT NULL,
    stream TEXT NOT NULL,
    lane TEXT NOT NULL,
    batches INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    last_received_ns INTEGER NOT NULL DEFAULT 0,
    UNIQUE (node, stream, lane)
);

-- One row per batch, written before the batch's rows in the same transaction: what is here is here exactly once.
CREATE TABLE IF NOT EXISTS batches (
    batch_id INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    committed_ns INTEGER NOT NULL,
    UNIQUE (stream_id, seq)
);
CREATE INDEX IF NOT EXISTS batches_by_time ON batches (stream_id, last_time);

-- The sequence numbers of `batches` as intervals, so that nobody has to read the ledger to know what is held.
CREATE TABLE IF NOT EXISTS held (
    stream_id INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (stream_id, first_seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS refused_batches (
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    reason TEXT NOT NULL,
    received_ns INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (stream_id, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS signals (
    signal_id INTEGER PRIMARY KEY,
    node TEXT NOT NULL,
    signal TEXT NOT NULL,
    unit TEXT,
    UNIQUE (node, signal)
);

-- Clustered by signal and time, the order in which history is read; batch and row keep equal times apart.
-- value_type: 0 no value, 1 float, 2 int, 3 bool, 4 string, 5 an int beyond 64 bits (kept as text).
CREATE TABLE IF NOT EXISTS sample_rows (
    signal_id INTEGER NOT NULL,
    source_time INTEGER NOT NULL,
    batch_id INTEGER NOT NULL,
    row INTEGER NOT NULL,
    value_type INTEGER NOT NULL,
    value_number,
    value_text TEXT,
    quality INTEGER NOT NULL,
    receive_time INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (signal_id, source_time, batch_id, row)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS event_rows (
    batch_id INTEGER NOT NULL,
    row INTEGER NOT NULL,
    kind TEXT NOT NULL,
    time INTEGER NOT NULL,
    source TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (batch_id, row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_time ON event_rows (time);
CREATE INDEX IF NOT EXISTS events_by_kind ON event_rows (kind, time);

CREATE TABLE IF NOT EXISTS gap_rows (
    batch_id INTEGER NOT NULL,
    row INTEGER NOT NULL,
    source TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    reason TEXT NOT NULL,
    stream TEXT NOT NULL,
    lane TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    samples INTEGER,
    PRIMARY KEY (batch_id, row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gaps_by_time ON gap_rows (end);

CREATE TABLE IF NOT EXISTS identities (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    created_ns INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE VIEW IF NOT EXISTS ledger AS
SELECT t.node, t.stream, t.lane, b.seq, b.rows, b.bytes, b.first_time, b.last_time, b.received_ns, b.committed_ns
FROM batches b JOIN streams t USING (stream_id);

CREATE VIEW IF NOT EXISTS samples AS
SELECT t.node, t.stream, t.lane, b.seq, r.row, r.signal_id, r.source_time, r.receive_time, r.value_number, r.value_text,
       CASE r.value_type
           WHEN 0 THEN NULL WHEN 1 THEN 'float' WHEN 3 THEN 'bool' WHEN 4 THEN 'string' ELSE 'int'
       END AS value_type,
       r.quality, r.reason
FROM sample_rows r JOIN batches b USING (batch_id) JOIN streams t USING (stream_id);

CREATE VIEW IF NOT EXISTS events AS
SELECT t.node, t.stream, t.lane, b.seq, r.row, r.kind, r.time, r.source, r.body
FROM event_rows r JOIN batches b USING (batch_id) JOIN streams t USING (stream_id);

CREATE VIEW IF NOT EXISTS gaps AS
SELECT t.node, t.stream, t.lane, b.seq, r.row, r.source, r.start, r.end, r.reason,
       r.stream AS lost_stream, r.lane AS lost_lane, r.first_seq, r.last_seq, r.samples
FROM gap_rows r JOIN batches b USING (batch_id) JOIN streams t USING (stream_id);
