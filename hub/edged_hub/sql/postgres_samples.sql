-- The table of the samples, in days: as declared partitions here, as chunks of a hypertable in postgres_timescale.sql.

-- name: sample_rows
-- kind: 0 no value, 1 float, 2 int, 3 bool, 4 string, 5 an int beyond 64 bits, 6 a string with a zero character, as JSON.
-- An int that a double cannot hold exactly is in value_text too.
CREATE TABLE sample_rows (
    signal_id integer NOT NULL,
    source_time bigint NOT NULL,
    receive_time bigint NOT NULL,
    stream_id integer NOT NULL,
    seq bigint NOT NULL,
    row_number integer NOT NULL,
    kind smallint NOT NULL,
    quality smallint NOT NULL,
    value_number double precision,
    value_text text,
    reason text NOT NULL
)

-- name: sample_index
-- The order in which history is read; statistics are read from the index alone.
CREATE INDEX samples_by_signal ON sample_rows (signal_id, source_time) INCLUDE (value_number, quality);

-- name: sample_view
CREATE VIEW samples AS
SELECT t.node, t.stream, t.lane, r.seq, r.row_number AS "row", r.signal_id, r.source_time, r.receive_time,
    r.value_number, r.value_text,
    CASE r.kind
        WHEN 0 THEN NULL WHEN 1 THEN 'float' WHEN 3 THEN 'bool' WHEN 4 THEN 'string' WHEN 6 THEN 'string' ELSE 'int'
    END AS value_type,
    r.quality, r.reason
FROM sample_rows r JOIN streams t USING (stream_id);

-- name: default_partition
-- Takes what no day was made for: times before 1970 or after 2200, and days beyond the limit.
CREATE TABLE sample_rows_other PARTITION OF sample_rows DEFAULT;

-- name: known_partitions
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'sample_rows'::regclass;

-- name: partition_table
-- Vacuum after every so many rows: only what it has seen can be read from the index alone.
CREATE TABLE {name} (LIKE sample_rows INCLUDING DEFAULTS) WITH (
    autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_analyze_threshold = 100000, autovacuum_analyze_scale_factor = 0.1
);

-- name: partition_attach
ALTER TABLE sample_rows ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end});
