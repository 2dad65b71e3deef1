-- What this crate sent before it had modes: its statements, prepared under their names.
PREPARE enter(text, text, bigint, text, float8, bool, text) AS INSERT INTO "public"."distributed_locks" AS l (name, fence, session, number, holder, locked_until) SELECT $1,
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
    $3) AS place;
PREPARE leave(text[], text, bigint[], text, bool, text) AS WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken FROM
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
    clock_timestamp()) * 1000000)::bigint))) END FROM left_it WHERE held) SELECT NULL::text AS name FROM notified;
PREPARE renew(text[], text, bigint[], float8) AS WITH mine AS MATERIALIZED (SELECT name, session, number, locked_until > clock_timestamp() AS taken FROM
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
    l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name = l.name);
PREPARE force_release(text, text, text) AS WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.locked_until > clock_timestamp() AS taken FROM
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
    NOT NULL AND $2 IS NOT NULL THEN pg_notify($2, format('gone %s %s', former, entry)) END FROM freed;
