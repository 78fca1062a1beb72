-- Statements of the PostgreSQL store's writer. `name:` starts a statement.

-- name: streams_register
INSERT INTO streams (node, stream, lane) SELECT $1, * FROM unnest($2::text[], $3::text[]) ON CONFLICT DO NOTHING;

-- name: streams_known
SELECT stream_id, stream, lane FROM streams
WHERE node = $1 AND (stream, lane) IN (SELECT * FROM unnest($2::text[], $3::text[]));

-- name: signals_register
INSERT INTO signals (node, signal) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING;

-- name: signals_known
SELECT signal, signal_id, newest_from FROM signals WHERE node = $1 AND signal = ANY ($2::text[]);

-- name: lanes_lock
SELECT stream_id, version FROM streams WHERE stream_id = ANY ($1::integer[]) ORDER BY stream_id FOR UPDATE;

-- name: lanes_intervals
SELECT stream_id, kind, first_seq, last_seq FROM lane_intervals WHERE stream_id = ANY ($1::integer[]);

-- name: commit_begin
SELECT nextval('commit_ids');

-- name: batches_insert
INSERT INTO batches (stream_id, seq, rows, bytes, first_time, last_time, received_ns, commit_id)
SELECT *, $8::bigint
FROM unnest($1::integer[], $2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[])
ON CONFLICT (stream_id, seq) DO NOTHING RETURNING stream_id, seq;

-- name: refused_insert
INSERT INTO refused_batches (stream_id, seq, rows, reason, received_ns, blob) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: lanes_count
UPDATE streams t SET batches = t.batches + u.batches, rows = t.rows + u.rows, version = t.version + 1,
    last_received_ns = greatest(t.last_received_ns, u.last_received_ns)
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u (stream_id, batches, rows, last_received_ns)
WHERE t.stream_id = u.stream_id;

-- name: intervals_delete
DELETE FROM lane_intervals WHERE (stream_id, kind, first_seq) IN
    (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[]));

-- name: intervals_put
INSERT INTO lane_intervals (stream_id, kind, first_seq, last_seq)
SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (stream_id, kind, first_seq) DO UPDATE SET last_seq = excluded.last_seq;

-- name: signals_newest
UPDATE signals t SET newest_from = u.newest_from, newest_until = u.newest_until
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS u (signal_id, newest_from, newest_until)
WHERE t.signal_id = u.signal_id AND t.newest_from < u.newest_from;

-- name: commit_stamp
INSERT INTO commits (commit_id, committed_ns) VALUES ($1, $2);

-- name: identity_put
INSERT INTO identities (kind, name, role, salt, hash, created_ns) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, name) DO UPDATE SET
    role = excluded.role, salt = excluded.salt, hash = excluded.hash, created_ns = excluded.created_ns;
