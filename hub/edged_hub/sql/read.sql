-- Statements of the embedded store's readers. `name:` starts a statement.

-- name: latest
SELECT n.node, n.signal, n.unit, r.source_time, r.receive_time, r.value_type, r.value_number, r.value_text, r.quality,
    r.reason, b.seq, r.row
FROM signals n
JOIN sample_rows r ON r.signal_id = n.signal_id AND (r.source_time, r.batch_id, r.row) = (
    SELECT x.source_time, x.batch_id, x.row FROM sample_rows x WHERE x.signal_id = n.signal_id
    ORDER BY x.source_time DESC, x.batch_id DESC, x.row DESC LIMIT 1)
JOIN batches b USING (batch_id)
WHERE (:node IS NULL OR n.node = :node) AND (:signal IS NULL OR n.signal = :signal) ORDER BY n.node, n.signal;

-- name: signals_of_path
SELECT signal_id FROM signals WHERE signal = :signal AND (:node IS NULL OR node = :node) ORDER BY node;

-- name: history
SELECT n.node, n.signal, n.unit, r.source_time, r.receive_time, r.value_type, r.value_number, r.value_text, r.quality,
    r.reason, b.seq, r.row
FROM sample_rows r JOIN batches b USING (batch_id) JOIN signals n USING (signal_id)
WHERE r.signal_id = :signal_id AND r.source_time >= :start AND r.source_time < :end
ORDER BY r.signal_id, r.source_time, r.batch_id, r.row LIMIT :limit;

-- name: extent
SELECT (SELECT min(source_time) FROM sample_rows
        WHERE signal_id = :signal_id AND source_time >= :start AND source_time < :end),
    (SELECT max(source_time) FROM sample_rows
        WHERE signal_id = :signal_id AND source_time >= :start AND source_time < :end);

-- name: buckets_few
-- One range of the tree per interval, read once: its statistics come as one text, since a subquery has one column.
WITH RECURSIVE starts (start) AS (
    VALUES (:first) UNION ALL SELECT start + :bucket FROM starts WHERE start + :bucket <= :last)
SELECT start, (
    SELECT quote(min(value)) || ' ' || quote(avg(value)) || ' ' || quote(max(value)) || ' ' || count(*) || ' '
        || quote(avg(good))
    FROM (
        SELECT CASE WHEN quality > 0 THEN value_number END AS value, quality = 192 AS good FROM sample_rows
        WHERE signal_id = :signal_id AND source_time >= max(start, :start)
            AND source_time < min(start + :bucket, :end))) FROM starts;

-- name: buckets
SELECT source_time - ((source_time % :bucket) + :bucket) % :bucket AS bucket_start,
    min(value_number) FILTER (WHERE quality > 0), avg(value_number) FILTER (WHERE quality > 0),
    max(value_number) FILTER (WHERE quality > 0), count(*), avg(quality = 192)
FROM signals n JOIN sample_rows r USING (signal_id)
WHERE n.signal = :signal AND (:node IS NULL OR n.node = :node) AND source_time >= :start AND source_time < :end
GROUP BY bucket_start ORDER BY bucket_start LIMIT :limit;

-- name: events
SELECT node, kind, time, source, body, seq, row FROM events
WHERE time >= :start AND time < :end AND (:node IS NULL OR node = :node)
ORDER BY time DESC, seq DESC, row DESC LIMIT :limit;

-- name: events_of_kind
SELECT node, kind, time, source, body, seq, row FROM events
WHERE kind = :kind AND time >= :start AND time < :end AND (:node IS NULL OR node = :node)
ORDER BY time DESC, seq DESC, row DESC LIMIT :limit;

-- name: gaps
SELECT node, source, start, end, reason, lost_stream, lost_lane, first_seq, last_seq, samples FROM gaps
WHERE end >= :start AND start < :end AND (:node IS NULL OR node = :node)
ORDER BY start, seq, row LIMIT :limit;

-- name: lanes
SELECT stream_id, node, stream, lane, batches, rows, last_received_ns FROM streams
WHERE :node IS NULL OR node = :node ORDER BY node, stream, lane;

-- name: lane_held
SELECT first_seq, last_seq FROM held WHERE stream_id = :stream_id ORDER BY first_seq;

-- name: lane_refused
SELECT seq FROM refused_batches WHERE stream_id = :stream_id ORDER BY seq;

-- name: lane_given_up
SELECT first_seq, last_seq FROM gaps
WHERE node = :node AND lost_stream = :stream AND lost_lane = :lane AND first_seq >= 1 AND last_seq >= first_seq;

-- name: lane_minutes
SELECT last_time / 60000000000 * 60000000000 AS minute, sum(rows) FROM batches
WHERE stream_id = :stream_id AND last_time >= :since GROUP BY minute ORDER BY minute;

-- name: totals
SELECT count(DISTINCT node), coalesce(sum(batches), 0), coalesce(sum(rows) FILTER (WHERE lane = 'process'), 0),
    coalesce(sum(rows) FILTER (WHERE lane = 'events'), 0), coalesce(max(last_received_ns), 0),
    (SELECT count(*) FROM signals), (SELECT count(*) FROM gap_rows), (SELECT count(*) FROM refused_batches)
FROM streams;

-- name: identity
SELECT kind, name, role, salt, hash, created_ns FROM identities WHERE kind = :kind AND name = :name;

-- name: identities
SELECT kind, name, role, salt, hash, created_ns FROM identities ORDER BY kind, name;
