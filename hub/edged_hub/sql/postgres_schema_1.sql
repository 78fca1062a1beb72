-- Version 1 of the PostgreSQL store, all but the table of the samples (see postgres_samples.sql).
-- Rows carry (stream_id, seq, row_number), the key of their place in their batch; the views show the whole key.

CREATE TABLE streams (
    stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL,
    stream text NOT NULL,
    lane text NOT NULL,
    batches bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    last_received_ns bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    UNIQUE (node, stream, lane)
) WITH (fillfactor = 50);
COMMENT ON COLUMN streams.version IS 'grows with every change of lane_intervals, so that a hub knows its copy is right';

-- One row per batch, written before the batch's rows in the same transaction: what is here is here exactly once.
CREATE TABLE batches (
    stream_id integer NOT NULL,
    seq bigint NOT NULL,
    rows integer NOT NULL,
    bytes integer NOT NULL,
    first_time bigint NOT NULL,
    last_time bigint NOT NULL,
    received_ns bigint NOT NULL,
    commit_id bigint NOT NULL,
    PRIMARY KEY (stream_id, seq)
);
CREATE INDEX batches_by_time ON batches (stream_id, last_time);

-- One row per transaction, its last statement: the batches of a transaction are stamped without being written twice.
CREATE SEQUENCE commit_ids;
CREATE TABLE commits (
    commit_id bigint PRIMARY KEY,
    committed_ns bigint NOT NULL
);

-- The sequence numbers of `batches` ('held'), and with them those refused or given up ('accounted'), as intervals.
CREATE TABLE lane_intervals (
    stream_id integer NOT NULL,
    kind text NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    PRIMARY KEY (stream_id, kind, first_seq)
) WITH (fillfactor = 50);

CREATE TABLE refused_batches (
    stream_id integer NOT NULL,
    seq bigint NOT NULL,
    rows integer NOT NULL,
    reason text NOT NULL,
    received_ns bigint NOT NULL,
    blob bytea NOT NULL,
    PRIMARY KEY (stream_id, seq)
);

CREATE TABLE signals (
    signal_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL,
    signal text NOT NULL,
    unit text,
    newest_from bigint NOT NULL DEFAULT -9223372036854775808,
    newest_until bigint NOT NULL DEFAULT -1,
    UNIQUE (node, signal)
);
COMMENT ON COLUMN signals.newest_from IS 'the day (or all before 1970) that holds the newest sample: one partition is asked for it';

CREATE TABLE event_rows (
    stream_id integer NOT NULL,
    seq bigint NOT NULL,
    row_number integer NOT NULL,
    kind text NOT NULL,
    time bigint NOT NULL,
    source text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (stream_id, seq, row_number)
);
CREATE INDEX events_by_time ON event_rows (time);
CREATE INDEX events_by_kind ON event_rows (kind, time);

CREATE TABLE gap_rows (
    stream_id integer NOT NULL,
    seq bigint NOT NULL,
    row_number integer NOT NULL,
    source text NOT NULL,
    start_time bigint NOT NULL,
    end_time bigint NOT NULL,
    reason text NOT NULL,
    lost_stream text NOT NULL,
    lost_lane text NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    samples bigint,
    PRIMARY KEY (stream_id, seq, row_number)
);
CREATE INDEX gaps_by_time ON gap_rows (end_time);

CREATE TABLE identities (
    kind text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    salt bytea NOT NULL,
    hash bytea NOT NULL,
    created_ns bigint NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE VIEW ledger AS
SELECT t.node, t.stream, t.lane, b.seq, b.rows, b.bytes, b.first_time, b.last_time, b.received_ns, c.committed_ns
FROM batches b JOIN streams t USING (stream_id) JOIN commits c USING (commit_id);

CREATE VIEW events AS
SELECT t.node, t.stream, t.lane, r.seq, r.row_number AS "row", r.kind, r.time, r.source, r.body
FROM event_rows r JOIN streams t USING (stream_id);

CREATE VIEW gaps AS
SELECT t.node, t.stream, t.lane, r.seq, r.row_number AS "row", r.source, r.start_time AS start, r.end_time AS "end",
    r.reason, r.lost_stream, r.lost_lane, r.first_seq, r.last_seq, r.samples
FROM gap_rows r JOIN streams t USING (stream_id);
