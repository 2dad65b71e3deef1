-- enter_free
WITH free AS (INSERT INTO "public"."distributed_locks" AS l (name, fence, session, number, holder, locked_until) SELECT
    $1, (extract(epoch FROM now) * 1000000)::bigint, $2, $3, $4, now + $5 * interval '1 microsecond' + $6::interval FROM
    (SELECT clock_timestamp() AS now, set_config('lock_timeout', $6, true) AS lock_timeout OFFSET 0) AS clock ON
    CONFLICT (name) DO UPDATE SET fence = greatest(l.fence + 1, (extract(epoch FROM clock_timestamp()) *
    1000000)::bigint), session = $2, number = $3, holder = $4, locked_until = clock_timestamp() + $5 * interval '1
    microsecond', keep_until = NULL WHERE l.locked_until <= clock_timestamp() AND l.queue = '[]' RETURNING l.session,
    l.number, l.fence, NULL::text AS holder, (extract(epoch FROM l.locked_until) - extract(epoch FROM
    clock_timestamp()))::float8 AS seconds, NULL::bigint AS place) SELECT * FROM free UNION ALL SELECT l.session,
    l.number, l.fence, CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(l.holder, 65536) END AS holder,
    (extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()))::float8 AS seconds, (SELECT place FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3)
    AS place FROM "public"."distributed_locks" AS l WHERE l.name = $1 AND NOT EXISTS (SELECT FROM free)
-- enter
INSERT INTO "public"."distributed_locks" AS l (name, fence, session, number, holder, locked_until) SELECT $1,
    (extract(epoch FROM now) * 1000000)::bigint, $2, $3, $4, now + $5 * interval '1 microsecond' + $7::interval FROM
    (SELECT clock_timestamp() AS now, set_config('lock_timeout', $7, true) AS lock_timeout OFFSET 0) AS clock ON
    CONFLICT (name) DO UPDATE SET (fence, session, number, holder, locked_until, keep_until, queue) = (SELECT CASE
    WHEN direct OR next IS NOT NULL THEN greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) ELSE
    l.fence END, CASE WHEN direct THEN $2 WHEN next IS NOT NULL THEN next->>'s' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session END, CASE WHEN direct THEN $3 WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE WHEN direct THEN $4 WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, CASE
    WHEN direct THEN now + $5 * interval '1 microsecond' WHEN next IS NOT NULL THEN (next->>'u')::timestamptz WHEN
    kept THEN l.keep_until WHEN taken THEN l.locked_until ELSE least(l.locked_until, now) END, CASE WHEN next IS NULL
    AND taken THEN l.keep_until END, CASE WHEN next IS NULL THEN line ELSE line - 0 END FROM (SELECT clock_timestamp()
    AS now OFFSET 0) AS clock CROSS JOIN LATERAL (SELECT false AS held) AS own CROSS JOIN LATERAL (SELECT
    coalesce(held AND false AND l.keep_until > now, false) AS kept) AS keeping CROSS JOIN LATERAL (SELECT
    l.locked_until > now AND coalesce(NOT held OR kept, false) AS taken) AS state CROSS JOIN LATERAL (SELECT
    coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS living CROSS JOIN LATERAL (SELECT NOT taken AND alive =
    '[]' AS direct OFFSET 0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN alive ELSE CASE WHEN (taken
    AND l.session = $2 AND l.number = $3) IS TRUE OR l.queue @> jsonb_build_array(jsonb_build_object('s', $2, 'n',
    $3)) OR NOT $6 AND (taken OR alive <> '[]') THEN alive ELSE alive || jsonb_build_array(jsonb_build_object('s', $2,
    'n', $3, 'h', $4, 'u', now + $5 * interval '1 microsecond')) END END AS line OFFSET 0) AS standing CROSS JOIN
    LATERAL (SELECT CASE WHEN NOT taken THEN line->0 END AS next OFFSET 0) AS first) RETURNING l.session, l.number,
    l.fence, CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(l.holder, 65536) END AS holder,
    (extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()))::float8 AS seconds, (SELECT place
    FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint =
    $3) AS place
-- look
SELECT l.session, l.number, l.fence, CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(l.holder, 65536)
    END AS holder, (extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()))::float8 AS seconds,
    (SELECT place FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND
    (w->>'n')::bigint = $3) AS place FROM "public"."distributed_locks" AS l WHERE l.name = $1
-- renew
WITH mine AS MATERIALIZED (SELECT name, session, number, locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" WHERE name = ANY($1) ORDER BY name FOR UPDATE SKIP LOCKED), renewed AS (UPDATE
    "public"."distributed_locks" AS l SET (locked_until, queue) = (SELECT CASE WHEN l.session = $2 AND l.number =
    ANY($3) AND l.locked_until > now AND l.keep_until IS DISTINCT FROM '-infinity' THEN greatest(later, l.keep_until)
    ELSE l.locked_until END, CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( CASE WHEN w->>'s'
    = $2 AND (w->>'n')::bigint = ANY($3) THEN w || jsonb_build_object('u', later) ELSE w END ORDER BY place), '[]')
    FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now) END
    FROM (SELECT now, now + $4 * interval '1 microsecond' AS later FROM (SELECT clock_timestamp() AS now OFFSET 0) AS
    clock OFFSET 0) AS clock) FROM mine WHERE l.name = mine.name RETURNING l.name, CASE WHEN l.session = $2 AND
    l.locked_until > clock_timestamp() THEN l.number END AS held, l.fence, ARRAY(SELECT (w->>'n')::bigint FROM
    jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2) AS waiting) SELECT false AS is_locked, name, held, fence,
    waiting FROM renewed UNION ALL SELECT true, l.name, CASE WHEN l.session = $2 AND l.locked_until >
    clock_timestamp() THEN l.number END AS held, l.fence, ARRAY(SELECT (w->>'n')::bigint FROM
    jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2) AS waiting FROM "public"."distributed_locks" AS l WHERE
    l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name = l.name)
-- renew_waiting
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $5, true) AS lock_timeout OFFSET 0) AS
    lock_timeout WHERE t.name = ANY($1) ORDER BY t.name FOR UPDATE OF t), renewed AS (UPDATE
    "public"."distributed_locks" AS l SET (locked_until, queue) = (SELECT CASE WHEN l.session = $2 AND l.number =
    ANY($3) AND l.locked_until > now AND l.keep_until IS DISTINCT FROM '-infinity' THEN greatest(later, l.keep_until)
    ELSE l.locked_until END, CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( CASE WHEN w->>'s'
    = $2 AND (w->>'n')::bigint = ANY($3) THEN w || jsonb_build_object('u', later) ELSE w END ORDER BY place), '[]')
    FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now) END
    FROM (SELECT now, now + $4 * interval '1 microsecond' AS later FROM (SELECT clock_timestamp() AS now OFFSET 0) AS
    clock OFFSET 0) AS clock) FROM mine WHERE l.name = mine.name RETURNING l.name, CASE WHEN l.session = $2 AND
    l.locked_until > clock_timestamp() THEN l.number END AS held, l.fence, ARRAY(SELECT (w->>'n')::bigint FROM
    jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2) AS waiting) SELECT false AS is_locked, name, held, fence,
    waiting FROM renewed UNION ALL SELECT true, l.name, CASE WHEN l.session = $2 AND l.locked_until >
    clock_timestamp() THEN l.number END AS held, l.fence, ARRAY(SELECT (w->>'n')::bigint FROM
    jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2) AS waiting FROM "public"."distributed_locks" AS l WHERE
    l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name = l.name)
-- leave_unqueued
UPDATE "public"."distributed_locks" AS l SET session = NULL, number = NULL, holder = NULL, locked_until =
    least(l.locked_until, clock_timestamp()), keep_until = NULL FROM (SELECT set_config('lock_timeout', $4, true) AS
    lock_timeout OFFSET 0) AS lock_timeout WHERE l.name = $1 AND l.session = $2 AND l.number = $3 AND l.queue = '[]'
    RETURNING l.name
-- enter_many
WITH wanted AS MATERIALIZED (SELECT name, number, holder
    FROM unnest($1::text[], $3::bigint[], $4::text[]) AS wanted(name, number, holder)),
    mine AS MATERIALIZED (SELECT name FROM "public"."distributed_locks"
    WHERE name = ANY($1) AND locked_until <= clock_timestamp() AND queue = '[]' ORDER BY name FOR UPDATE SKIP LOCKED),
    taken AS (UPDATE "public"."distributed_locks" AS l SET fence = greatest(l.fence + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), session = $2, number = wanted.number,
    holder = wanted.holder, locked_until = clock_timestamp() + $5 * interval '1 microsecond', keep_until = NULL
    FROM mine, wanted WHERE l.name = mine.name AND wanted.name = mine.name RETURNING l.name, l.fence),
    added AS (INSERT INTO "public"."distributed_locks" AS l (name, fence, session, number, holder, locked_until)
    SELECT wanted.name, (extract(epoch FROM now) * 1000000)::bigint, $2, wanted.number, wanted.holder,
    now + $5 * interval '1 microsecond' + $6::interval
    FROM wanted, (SELECT clock_timestamp() AS now, set_config('lock_timeout', $6, true) AS lock_timeout OFFSET 0) AS clock
    WHERE NOT EXISTS (SELECT FROM "public"."distributed_locks" AS known WHERE known.name = wanted.name)
    ORDER BY wanted.name ON CONFLICT (name) DO NOTHING RETURNING l.name, l.fence)
    SELECT name, fence FROM taken UNION ALL SELECT name, fence FROM added
-- leave_many
WITH mine AS MATERIALIZED (SELECT t.name FROM unnest($1::text[], $3::bigint[]) AS leaving(name, number), "public"."distributed_locks" AS t
    WHERE t.name = leaving.name AND t.session = $2 AND t.number = leaving.number AND t.queue = '[]'
    ORDER BY t.name FOR UPDATE OF t SKIP LOCKED)
    UPDATE "public"."distributed_locks" AS l SET session = NULL, number = NULL, holder = NULL,
    locked_until = least(l.locked_until, clock_timestamp()), keep_until = NULL
    FROM mine WHERE l.name = mine.name RETURNING l.name, l.fence
-- leave
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $6, true) AS lock_timeout OFFSET 0) AS
    lock_timeout WHERE t.name = ANY($1) ORDER BY t.name FOR UPDATE OF t), left_it AS (UPDATE
    "public"."distributed_locks" AS l SET (fence, session, number, holder, locked_until, keep_until, queue) = (SELECT
    CASE WHEN direct OR next IS NOT NULL THEN greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) ELSE
    l.fence END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'s' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END,
    CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'u')::timestamptz WHEN kept THEN l.keep_until WHEN
    taken THEN l.locked_until ELSE least(l.locked_until, now) END, CASE WHEN next IS NULL AND taken THEN l.keep_until
    END, CASE WHEN next IS NULL THEN line ELSE line - 0 END FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock
    CROSS JOIN LATERAL (SELECT coalesce(l.session IN ($2, $2 || '.kept') AND l.number = ANY($3), false) AS held) AS own CROSS JOIN
    LATERAL (SELECT coalesce(held AND $5 AND l.keep_until > now, false) AS kept) AS keeping CROSS JOIN LATERAL (SELECT
    l.locked_until > now AND coalesce(NOT held OR kept, false) AS taken) AS state CROSS JOIN LATERAL (SELECT
    coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS living CROSS JOIN LATERAL (SELECT false AS direct OFFSET
    0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN alive ELSE (SELECT coalesce(jsonb_agg(w ORDER BY
    place), '[]') FROM jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place) WHERE NOT (w->>'s' = $2 AND
    (w->>'n')::bigint = ANY($3))) END AS line OFFSET 0) AS standing CROSS JOIN LATERAL (SELECT CASE WHEN NOT taken
    THEN line->0 END AS next OFFSET 0) AS first) FROM mine WHERE l.name = mine.name RETURNING CASE WHEN l.session NOT LIKE '%.kept' THEN l.session END AS session, l.number, l.fence, l.queue->0 AS first, l.locked_until, mine.session IN ($2, $2 || '.kept') AND mine.number = ANY($3) AS held), notified AS
    MATERIALIZED (SELECT CASE WHEN session IS NOT NULL AND $4 IS NOT NULL THEN pg_notify($4, format('turn %s %s %s',
    session, number, fence)) END, CASE WHEN first IS NOT NULL AND $4 IS NOT NULL THEN pg_notify($4,
    format('wait %s %s %s', first->>'s', first->>'n', greatest(0, (extract(epoch FROM locked_until -
    clock_timestamp()) * 1000000)::bigint))) END FROM left_it WHERE held) SELECT NULL::text AS name FROM notified
-- leave_unlocked
WITH mine AS MATERIALIZED (SELECT name, session, number, locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" WHERE name = ANY($1) ORDER BY name FOR UPDATE SKIP LOCKED), left_it AS (UPDATE
    "public"."distributed_locks" AS l SET (fence, session, number, holder, locked_until, keep_until, queue) = (SELECT
    CASE WHEN direct OR next IS NOT NULL THEN greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) ELSE
    l.fence END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'s' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END,
    CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'u')::timestamptz WHEN kept THEN l.keep_until WHEN
    taken THEN l.locked_until ELSE least(l.locked_until, now) END, CASE WHEN next IS NULL AND taken THEN l.keep_until
    END, CASE WHEN next IS NULL THEN line ELSE line - 0 END FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock
    CROSS JOIN LATERAL (SELECT coalesce(l.session IN ($2, $2 || '.kept') AND l.number = ANY($3), false) AS held) AS own CROSS JOIN
    LATERAL (SELECT coalesce(held AND $5 AND l.keep_until > now, false) AS kept) AS keeping CROSS JOIN LATERAL (SELECT
    l.locked_until > now AND coalesce(NOT held OR kept, false) AS taken) AS state CROSS JOIN LATERAL (SELECT
    coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS living CROSS JOIN LATERAL (SELECT false AS direct OFFSET
    0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN alive ELSE (SELECT coalesce(jsonb_agg(w ORDER BY
    place), '[]') FROM jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place) WHERE NOT (w->>'s' = $2 AND
    (w->>'n')::bigint = ANY($3))) END AS line OFFSET 0) AS standing CROSS JOIN LATERAL (SELECT CASE WHEN NOT taken
    THEN line->0 END AS next OFFSET 0) AS first) FROM mine WHERE l.name = mine.name RETURNING CASE WHEN l.session NOT LIKE '%.kept' THEN l.session END AS session, l.number, l.fence, l.queue->0 AS first, l.locked_until, mine.session IN ($2, $2 || '.kept') AND mine.number = ANY($3) AS held), notified AS
    MATERIALIZED (SELECT CASE WHEN session IS NOT NULL AND $4 IS NOT NULL THEN pg_notify($4, format('turn %s %s %s',
    session, number, fence)) END, CASE WHEN first IS NOT NULL AND $4 IS NOT NULL THEN pg_notify($4,
    format('wait %s %s %s', first->>'s', first->>'n', greatest(0, (extract(epoch FROM locked_until -
    clock_timestamp()) * 1000000)::bigint))) END FROM left_it WHERE held) SELECT NULL::text AS name FROM notified
    UNION ALL SELECT l.name FROM "public"."distributed_locks" AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM
    mine WHERE mine.name = l.name)
-- lapse
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $6, true) AS lock_timeout OFFSET 0) AS
    lock_timeout WHERE t.name = $1 ORDER BY t.name FOR UPDATE OF t), lapsing AS (UPDATE "public"."distributed_locks"
    AS l SET locked_until = clock_timestamp() + $4 * interval '1 microsecond', keep_until = '-infinity' FROM mine
    WHERE l.name = mine.name AND l.session = $2 AND l.number = $3 AND mine.taken RETURNING l.queue->0 AS first,
    l.locked_until) SELECT CASE WHEN first IS NOT NULL AND $5 IS NOT NULL THEN pg_notify($5, format('wait %s %s %s',
    first->>'s', first->>'n', greatest(0, (extract(epoch FROM locked_until - clock_timestamp()) * 1000000)::bigint)))
    END FROM lapsing
-- extend
UPDATE "public"."distributed_locks" AS l SET keep_until = greatest(l.keep_until, until), locked_until =
    greatest(l.locked_until, until) FROM (SELECT clock_timestamp() + $4 * interval '1 microsecond' AS until,
    set_config('lock_timeout', $5, true) AS lock_timeout OFFSET 0) AS least WHERE l.name = $1 AND l.session = $2 AND
    l.number = $3 AND l.locked_until > clock_timestamp() RETURNING l.name
-- force_release
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $3, true) AS lock_timeout OFFSET 0) AS
    lock_timeout WHERE t.name = $1 ORDER BY t.name FOR UPDATE OF t), freed AS (UPDATE "public"."distributed_locks" AS
    l SET (fence, session, number, holder, locked_until, keep_until, queue) = (SELECT CASE WHEN direct OR next IS NOT
    NULL THEN greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) ELSE l.fence END, CASE WHEN direct
    THEN NULL WHEN next IS NOT NULL THEN next->>'s' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session END, CASE WHEN direct THEN
    NULL WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE WHEN direct
    THEN NULL WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, CASE WHEN direct THEN NULL WHEN next
    IS NOT NULL THEN (next->>'u')::timestamptz WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until ELSE
    least(l.locked_until, now) END, CASE WHEN next IS NULL AND taken THEN l.keep_until END, CASE WHEN next IS NULL
    THEN line ELSE line - 0 END FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock CROSS JOIN LATERAL (SELECT
    NULL::boolean AS held) AS own CROSS JOIN LATERAL (SELECT coalesce(held AND false AND l.keep_until > now, false) AS
    kept) AS keeping CROSS JOIN LATERAL (SELECT l.locked_until > now AND coalesce(NOT held OR kept, false) AS taken)
    AS state CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS living
    CROSS JOIN LATERAL (SELECT false AS direct OFFSET 0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN
    alive ELSE alive END AS line OFFSET 0) AS standing CROSS JOIN LATERAL (SELECT CASE WHEN NOT taken THEN line->0 END
    AS next OFFSET 0) AS first) FROM mine WHERE l.name = mine.name AND mine.taken RETURNING mine.session AS former,
    mine.number AS entry, l.session, l.number, l.fence, l.queue->0 AS first, l.locked_until) SELECT CASE WHEN session
    IS NOT NULL AND $2 IS NOT NULL THEN pg_notify($2, format('turn %s %s %s', session, number, fence)) END, CASE WHEN
    first IS NOT NULL AND $2 IS NOT NULL THEN pg_notify($2, format('wait %s %s %s', first->>'s', first->>'n',
    greatest(0, (extract(epoch FROM locked_until - clock_timestamp()) * 1000000)::bigint))) END, CASE WHEN former IS
    NOT NULL AND $2 IS NOT NULL THEN pg_notify($2, format('gone %s %s', former, entry)) END FROM freed
-- inspect_key
SELECT l.name, l.fence, l.locked_until > now AS held, left(l.holder, 65536) AS holder, ARRAY(SELECT left(w->>'h',
    65536) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now
    ORDER BY place) AS waiting FROM "public"."distributed_locks" AS l, (SELECT clock_timestamp() AS now OFFSET 0) AS
    clock WHERE (l.locked_until > now OR l.queue <> '[]') AND l.name = $1
-- inspect_prefix
WITH page AS MATERIALIZED (SELECT name, fence, locked_until, holder, queue FROM "public"."distributed_locks" WHERE
    name COLLATE "C" >= $2 ORDER BY name COLLATE "C" LIMIT 5000), last AS MATERIALIZED (SELECT max(name COLLATE "C")
    AS name, count(*) = 5000 AS more FROM page) SELECT l.name, l.fence, l.locked_until > now AS held, left(l.holder,
    65536) AS holder, ARRAY(SELECT left(w->>'h', 65536) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place) WHERE (w->>'u')::timestamptz > now ORDER BY place) AS waiting, last.more FROM page AS l, last,
    (SELECT clock_timestamp() AS now OFFSET 0) AS clock WHERE (l.locked_until > now OR l.queue <> '[]') AND
    starts_with(l.name, $1) OR l.name = last.name ORDER BY l.name COLLATE "C"
-- clean
WITH old AS MATERIALIZED (SELECT l.name FROM (SELECT clock_timestamp() - $1 * interval '1 microsecond' AS since OFFSET
    0) AS clock, "public"."distributed_locks" AS l TABLESAMPLE SYSTEM (least(100, 100.0 * 524288 /
    greatest(pg_relation_size('"public"."distributed_locks"'), 1))) WHERE locked_until < since AND coalesce(keep_until
    < since, true) AND fence < (extract(epoch FROM since) * 1000000)::bigint AND NOT EXISTS (SELECT FROM
    jsonb_array_elements(queue) AS w WHERE (w->>'u')::timestamptz >= since) LIMIT 1000 FOR UPDATE OF l SKIP LOCKED),
    deleted AS (DELETE FROM "public"."distributed_locks" AS l USING old, (SELECT clock_timestamp() - $1 * interval
    '1 microsecond' AS since OFFSET 0) AS clock WHERE l.name = old.name AND locked_until < since AND
    coalesce(keep_until < since, true) AND fence < (extract(epoch FROM since) * 1000000)::bigint AND NOT EXISTS
    (SELECT FROM jsonb_array_elements(queue) AS w WHERE (w->>'u')::timestamptz >= since) RETURNING 1) SELECT count(*)
    AS deleted FROM deleted
-- create
CREATE TABLE IF NOT EXISTS "distributed_locks" (
    name text COLLATE "C" PRIMARY KEY,
    fence bigint NOT NULL,
    session text,
    number bigint,
    holder text,
    locked_until timestamptz NOT NULL,
    keep_until timestamptz,
    queue jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(queue) = 'array')
) WITH (fillfactor = 50)
-- find
SELECT n.nspname::text AS schema, c.relname::text AS name, a.names, a.types, a.modifiers, a.required,
    has_table_privilege(c.oid, 'DELETE') AS may_delete, EXISTS (SELECT FROM pg_index AS i JOIN pg_attribute AS k ON
    k.attrelid = c.oid AND k.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND
    i.indnkeyatts = 1 AND i.indpred IS NULL AND k.attname = 'name') AS is_unique FROM pg_class AS c JOIN pg_namespace
    AS n ON n.oid = c.relnamespace, LATERAL (SELECT array_agg(attname::text) AS names, array_agg(format_type(atttypid,
    NULL)) AS types, array_agg(atttypmod) AS modifiers, array_agg(attnotnull AND NOT atthasdef AND attidentity = '')
    AS required FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a WHERE c.relname =
    ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND ($2 IS NULL OR n.nspname = ANY($2)) AND (pg_table_is_visible(c.oid) OR $3 = ANY(a.names)) ORDER BY n.nspname
-- backend
SELECT pg_backend_pid() AS process, current_setting('transaction_isolation') AS isolation
-- settings
SET default_transaction_isolation = 'read committed'; SET jit = off;
    SET plan_cache_mode = 'force_generic_plan'; SET enable_seqscan = off
-- begin
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL jit = off
-- commit
COMMIT
-- listen
LISTEN "distributed_locks"
-- notify
SELECT pg_notify($1, $2)
-- is_read_only
SHOW transaction_read_only
