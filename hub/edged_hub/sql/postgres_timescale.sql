-- Everything that is particular to TimescaleDB. Used when an administrator has run CREATE EXTENSION timescaledb in the
-- database before the hub's first start there. Needs no licensed feature: hypertables are in the Apache build.
-- NOT RUN BY THE TESTS: Debian 12 has no TimescaleDB package. The probe is run; what follows it has only been read.

-- name: timescale_probe
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb';

-- name: timescale_hypertable
-- One chunk per day of source_time, as with declared partitions; the index of the statistics is our own.
SELECT create_hypertable('sample_rows', 'source_time', chunk_time_interval => 86400000000000::bigint,
    create_default_indexes => false);
