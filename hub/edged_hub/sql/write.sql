-- Statements of the embedded store's writer. `name:` starts a statement.

-- name: streams
SELECT stream_id, node, stream, lane FROM streams;

-- name: held
SELECT stream_id, first_seq, last_seq FROM held ORDER BY stream_id, first_seq;

-- name: refused
SELECT stream_id, seq FROM refused_batches;

-- name: given_up
SELECT t.node, g.stream, g.lane, g.first_seq, g.last_seq
FROM gap_rows g JOIN batches b USING (batch_id) JOIN streams t USING (stream_id)
WHERE g.stream <> '' AND g.lane IN ('process', 'events') AND g.first_seq >= 1 AND g.last_seq >= g.first_seq;

-- name: signals
SELECT signal_id, node, signal FROM signals;

-- name: stream_insert
INSERT INTO streams (node, stream, lane) VALUES (?, ?, ?);

-- name: signal_insert
INSERT INTO signals (node, signal) VALUES (?, ?);

-- name: batch_insert
INSERT INTO batches (stream_id, seq, rows, bytes, first_time, last_time, received_ns, committed_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, 0);

-- name: batch_stamp
UPDATE batches SET committed_ns = ? WHERE batch_id >= ?;

-- name: stream_count
UPDATE streams SET batches = batches + 1, rows = rows + ?, last_received_ns = ? WHERE stream_id = ?;

-- name: sample_insert
INSERT INTO sample_rows (signal_id, source_time, batch_id, row, value_type, value_number, value_text, quality,
    receive_time, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: event_insert
INSERT INTO event_rows (batch_id, row, kind, time, source, body) VALUES (?, ?, ?, ?, ?, ?);

-- name: gap_insert
INSERT INTO gap_rows (batch_id, row, source, start, end, reason, stream, lane, first_seq, last_seq, samples)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: refused_insert
INSERT OR IGNORE INTO refused_batches (stream_id, seq, rows, reason, received_ns, blob) VALUES (?, ?, ?, ?, ?, ?);

-- name: held_delete
DELETE FROM held WHERE stream_id = ? AND first_seq = ?;

-- name: held_insert
INSERT INTO held (stream_id, first_seq, last_seq) VALUES (?, ?, ?);

-- name: identity_put
INSERT INTO identities (kind, name, role, salt, hash, created_ns) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET
    role = excluded.role, salt = excluded.salt, hash = excluded.hash, created_ns = excluded.created_ns;
