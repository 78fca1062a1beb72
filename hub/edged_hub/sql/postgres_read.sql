-- Statements of the PostgreSQL store's readers. `name:` starts a statement.

-- name: latest
SELECT n.node, n.signal, n.unit, r.source_time, r.receive_time, r.kind, r.value_number, r.value_text, r.quality,
    r.reason, r.seq, r.row_number
FROM signals n CROSS JOIN LATERAL (
    SELECT * FROM sample_rows x
    WHERE x.signal_id = n.signal_id AND x.source_time >= n.newest_from AND x.source_time <= n.newest_until
    ORDER BY x.source_time DESC, x.stream_id DESC, x.seq DESC, x.row_number DESC LIMIT 1) r
WHERE ($1::text IS NULL OR n.node = $1) AND ($2::text IS NULL OR n.signal = $2) ORDER BY n.node, n.signal;

-- name: signals_of_path
SELECT signal_id, node, unit FROM signals WHERE signal = $1 AND ($2::text IS NULL OR node = $2) ORDER BY node;

-- name: history
SELECT source_time, receive_time, kind, value_number, value_text, quality, reason, seq, row_number FROM sample_rows
WHERE signal_id = $1 AND source_time >= $2 AND source_time < $3
ORDER BY source_time, stream_id, seq, row_number LIMIT $4;

-- name: extent
SELECT min(source_time), max(source_time) FROM unnest($1::integer[]) AS wanted (id) CROSS JOIN LATERAL (
    (SELECT source_time FROM sample_rows WHERE signal_id = id AND source_time >= $2 AND source_time < $3
    ORDER BY source_time LIMIT 1)
    UNION ALL
    (SELECT source_time FROM sample_rows WHERE signal_id = id AND source_time >= $2 AND source_time < $3
    ORDER BY source_time DESC LIMIT 1)) AS ends;

-- name: buckets_few
-- One range of the index per interval: for up to some thousand intervals this takes two thirds of the time of grouping.
SELECT start, lowest, mean, highest, samples, good_share
FROM generate_series($2::bigint, $3::bigint, $4::bigint) AS start CROSS JOIN LATERAL (
    SELECT min(value) AS lowest, avg(value) AS mean, max(value) AS highest, count(*) AS samples,
        avg(good) AS good_share
    FROM (
        SELECT CASE WHEN quality > 0 THEN value_number END AS value,
            CASE WHEN quality = 192 THEN 1.0::float8 ELSE 0.0::float8 END AS good
        FROM sample_rows
        WHERE signal_id = ANY ($1::integer[]) AND source_time >= $5 AND source_time < $6
            AND source_time >= start AND source_time < start + $4) AS held
    ) AS bucket
WHERE samples > 0 ORDER BY start LIMIT $7;

-- name: buckets
SELECT source_time - ((source_time % $2) + $2) % $2 AS start,
    min(value_number) FILTER (WHERE quality > 0), avg(value_number) FILTER (WHERE quality > 0),
    max(value_number) FILTER (WHERE quality > 0), count(*),
    avg(CASE WHEN quality = 192 THEN 1.0::float8 ELSE 0.0::float8 END)
FROM sample_rows WHERE signal_id = ANY ($1::integer[]) AND source_time >= $3 AND source_time < $4
GROUP BY start ORDER BY start LIMIT $5;

-- name: buckets_of_huge_numbers
-- The same where the sum of the values is beyond a double, or an interval begins before all times.
SELECT floor(source_time::numeric / $2) * $2 AS start,
    min(value_number) FILTER (WHERE quality > 0), (avg(value_number::numeric) FILTER (WHERE quality > 0))::float8,
    max(value_number) FILTER (WHERE quality > 0), count(*),
    avg(CASE WHEN quality = 192 THEN 1.0::float8 ELSE 0.0::float8 END)
FROM sample_rows WHERE signal_id = ANY ($1::integer[]) AND source_time >= $3 AND source_time < $4
GROUP BY start ORDER BY start LIMIT $5;

-- name: events
SELECT t.node, r.kind, r.time, r.source, r.body, r.seq, r.row_number
FROM event_rows r JOIN streams t USING (stream_id)
WHERE r.time >= $1 AND r.time < $2 AND ($4::text IS NULL OR t.node = $4)
ORDER BY r.time DESC, r.seq DESC, r.row_number DESC LIMIT $3;

-- name: events_of_kind
SELECT t.node, r.kind, r.time, r.source, r.body, r.seq, r.row_number
FROM event_rows r JOIN streams t USING (stream_id)
WHERE r.kind = $5 AND r.time >= $1 AND r.time < $2 AND ($4::text IS NULL OR t.node = $4)
ORDER BY r.time DESC, r.seq DESC, r.row_number DESC LIMIT $3;

-- name: gaps
SELECT node, source, start, "end", reason, lost_stream, lost_lane, first_seq, last_seq, samples FROM gaps
WHERE "end" >= $1 AND start < $2 AND ($4::text IS NULL OR node = $4)
ORDER BY start, seq, "row" LIMIT $3;

-- name: lanes
SELECT stream_id, node, stream, lane, batches, rows, last_received_ns FROM streams
WHERE $1::text IS NULL OR node = $1 ORDER BY node, stream, lane;

-- name: lane_intervals
SELECT first_seq, last_seq FROM lane_intervals WHERE stream_id = $1 AND kind = $2 ORDER BY first_seq;

-- name: lane_refused
SELECT count(*) FROM refused_batches WHERE stream_id = $1;

-- name: lane_given_up
SELECT first_seq, last_seq FROM gaps
WHERE node = $1 AND lost_stream = $2 AND lost_lane = $3 AND first_seq >= 1 AND last_seq >= first_seq;

-- name: lane_minutes
SELECT last_time / 60000000000 * 60000000000 AS minute, sum(rows)::bigint FROM batches
WHERE stream_id = $1 AND last_time >= $2 GROUP BY minute ORDER BY minute;

-- name: totals
SELECT count(DISTINCT node), coalesce(sum(batches), 0)::bigint,
    coalesce(sum(rows) FILTER (WHERE lane = 'process'), 0)::bigint,
    coalesce(sum(rows) FILTER (WHERE lane = 'events'), 0)::bigint, coalesce(max(last_received_ns), 0),
    (SELECT count(*) FROM signals), (SELECT count(*) FROM gap_rows), (SELECT count(*) FROM refused_batches)
FROM streams;

-- name: identity
SELECT kind, name, role, salt, hash, created_ns FROM identities WHERE kind = $1 AND name = $2;

-- name: identities
SELECT kind, name, role, salt, hash, created_ns FROM identities ORDER BY kind, name;

-- name: is_encrypted
SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();
