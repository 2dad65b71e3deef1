-- enter_free
WITH free AS (INSERT INTO "public"."distributed_locks" AS l (name, fence, session, number, holder, locked_until)
    SELECT $1, (extract(epoch FROM now) * 1000000)::bigint, $2, $3, $4, now + $5 * interval '1 microsecond' +
    $6::interval FROM (SELECT clock_timestamp() AS now, set_config('lock_timeout', $6, true) AS lock_timeout OFFSET 0)
    AS clock ON CONFLICT (name) DO UPDATE SET fence = greatest(l.fence + 1, (extract(epoch FROM clock_timestamp()) *
    1000000)::bigint), session = $2, number = $3, holder = $4, locked_until = clock_timestamp() + $5 * interval
    '1 microsecond', keep_until = NULL WHERE l.locked_until <= clock_timestamp() AND l.queue = '[]' RETURNING
    l.session, l.number, l.fence, NULL::text AS holder, (extract(epoch FROM l.locked_until) - extract(epoch FROM
    clock_timestamp()))::float8 AS seconds, NULL::bigint AS place, NULL::bigint AS held) SELECT * FROM free UNION ALL
    SELECT l.session, l.number, l.fence, CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(CASE WHEN
    l.session = '.beside' THEN l.queue->0->>'h' ELSE l.holder END, 65536) END AS holder, (CASE WHEN l.session =
    '.beside' THEN (SELECT coalesce(min(CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = $3 AND NOT w ? 'f' AND (place <
    other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN 'number' THEN place <=
    greatest((w->>'m')::numeric, 1) ELSE false END THEN 0 ELSE extract(epoch FROM (w->>'u')::timestamptz) -
    extract(epoch FROM clock_timestamp()) END), 0) FROM (SELECT (SELECT min(at) FROM jsonb_array_elements(l.queue)
    WITH ORDINALITY AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM
    jsonb_typeof(l.queue->0->'m')) AS other OFFSET 0) AS kind, jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place)) ELSE extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()) END)::float8 AS
    seconds, (SELECT greatest(1, place - CASE WHEN l.session = '.beside' THEN (SELECT count(*) FROM
    jsonb_array_elements(l.queue) AS one WHERE one ? 'f') ELSE 0 END) FROM jsonb_array_elements(l.queue) WITH
    ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3) AS place, CASE WHEN l.session =
    '.beside' THEN (SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2 AND
    (w->>'n')::bigint = $3 AND (w->>'u')::timestamptz > clock_timestamp()) END AS held FROM
    "public"."distributed_locks" AS l WHERE l.name = $1 AND NOT EXISTS (SELECT FROM free)
-- enter
WITH entered AS (INSERT INTO "public"."distributed_locks" AS l (name, fence, session, number, holder, locked_until,
    queue) SELECT name, (extract(epoch FROM now) * 1000000)::bigint, CASE WHEN $7 IS NULL THEN $2 ELSE '.beside' END,
    CASE WHEN $7 IS NULL THEN $3 END, CASE WHEN $7 IS NULL THEN $4 END, until, CASE WHEN $7 IS NULL THEN '[]' ELSE
    jsonb_build_array(jsonb_build_object('s', $2, 'n', $3, 'h', $4, 'u', until) || CASE WHEN $7 IS NULL THEN '{}' ELSE
    jsonb_build_object('m', $7::jsonb) END || jsonb_build_object('f', (extract(epoch FROM now) * 1000000)::bigint))
    END FROM (SELECT now, now + $5 * interval '1 microsecond' + (cardinality($1) - 1) * $8::interval + $8::interval AS
    until FROM (SELECT clock_timestamp() AS now, set_config('lock_timeout', $8, true) AS lock_timeout OFFSET 0) AS
    clock) AS clock, unnest($1::text[]) AS wanted(name) WHERE cardinality($1) = 1 AND ($6 OR $7 IS NULL) OR (SELECT
    CASE WHEN bool_or(is_there) THEN count(*) FILTER (WHERE is_there) = cardinality($1) ELSE $6 OR
    coalesce(bool_and(is_free), true) END FROM (SELECT ((taken AND k.session = $2 AND k.number = $3) IS TRUE OR
    k.queue @> jsonb_build_array(jsonb_build_object('s', $2, 'n', $3))) AS is_there, NOT taken AND CASE WHEN alive =
    '[]' THEN true WHEN $7 IS NULL THEN false ELSE jsonb_typeof(alive->0->'m') IS NOT DISTINCT FROM
    jsonb_typeof($7::jsonb) AND (SELECT min(at) FROM jsonb_array_elements(alive) WITH ORDINALITY AS all_of_them(one,
    at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM jsonb_typeof(alive->0->'m')) IS NULL AND CASE
    jsonb_typeof($7::jsonb) WHEN 'number' THEN jsonb_array_length(alive) < ($7::jsonb #>> '{}')::numeric ELSE true END
    END AS is_free FROM "public"."distributed_locks" AS k, (SELECT clock_timestamp() AS now OFFSET 0) AS clock,
    LATERAL (SELECT k.locked_until > now AND k.session IS DISTINCT FROM '.beside' AS taken, (SELECT
    coalesce(jsonb_agg(w ORDER BY place), '[]') FROM jsonb_array_elements(k.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE (w->>'u')::timestamptz > now) AS alive OFFSET 0) AS state WHERE k.name = ANY($1)) AS known) ORDER BY
    name COLLATE "C" ON CONFLICT (name) DO UPDATE SET (fence, session, number, holder, locked_until, keep_until,
    queue) = (SELECT CASE WHEN direct OR next IS NOT NULL THEN base WHEN beside AND granted <> line THEN base +
    jsonb_array_length(line) - 1 ELSE l.fence END, CASE WHEN direct THEN $2 WHEN next IS NOT NULL THEN next->>'s' WHEN
    beside THEN '.beside' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session END,
    CASE WHEN direct THEN $3 WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE WHEN
    direct THEN $4 WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, CASE WHEN direct THEN now + $5
    * interval '1 microsecond' + (cardinality($1) - 1) * $8::interval WHEN next IS NOT NULL THEN
    (next->>'u')::timestamptz WHEN beside THEN (SELECT max((w->>'u')::timestamptz) FROM jsonb_array_elements(granted)
    AS w WHERE w ? 'f') WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until ELSE least(l.locked_until, now)
    END, CASE WHEN next IS NULL AND taken THEN l.keep_until END, CASE WHEN beside THEN granted WHEN next IS NULL THEN
    line ELSE line - 0 END FROM (SELECT now, greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) AS
    base FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock) AS clock CROSS JOIN LATERAL (SELECT false AS held
    OFFSET 0) AS own CROSS JOIN LATERAL (SELECT coalesce(held AND false AND l.keep_until > now, false) AS kept) AS
    keeping CROSS JOIN LATERAL (SELECT l.locked_until > now AND l.session IS DISTINCT FROM '.beside' AND coalesce(NOT
    held OR kept, false) AS taken OFFSET 0) AS state CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place),
    '[]') AS alive FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    (w->>'u')::timestamptz > now) AS living CROSS JOIN LATERAL (SELECT NOT taken AND alive = '[]' AND $7 IS NULL AS
    direct OFFSET 0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN alive ELSE CASE WHEN ((taken AND
    l.session = $2 AND l.number = $3) IS TRUE OR l.queue @> jsonb_build_array(jsonb_build_object('s', $2, 'n', $3)))
    OR NOT ($6 OR NOT taken AND CASE WHEN alive = '[]' THEN true WHEN $7 IS NULL THEN false ELSE
    jsonb_typeof(alive->0->'m') IS NOT DISTINCT FROM jsonb_typeof($7::jsonb) AND (SELECT min(at) FROM
    jsonb_array_elements(alive) WITH ORDINALITY AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM
    jsonb_typeof(alive->0->'m')) IS NULL AND CASE jsonb_typeof($7::jsonb) WHEN 'number' THEN jsonb_array_length(alive)
    < ($7::jsonb #>> '{}')::numeric ELSE true END END) THEN alive ELSE alive ||
    jsonb_build_array(jsonb_build_object('s', $2, 'n', $3, 'h', $4, 'u', now + $5 * interval '1 microsecond' +
    (cardinality($1) - 1) * $8::interval) || CASE WHEN $7 IS NULL THEN '{}' ELSE jsonb_build_object('m', $7::jsonb)
    END) END END AS line OFFSET 0) AS settled CROSS JOIN LATERAL (SELECT coalesce(NOT taken AND line->0 ? 'm', false)
    AS beside, CASE WHEN NOT taken AND NOT line->0 ? 'm' THEN line->0 END AS next) AS first CROSS JOIN LATERAL (SELECT
    CASE WHEN beside THEN (SELECT jsonb_agg(CASE WHEN w ? 'f' OR NOT ((place < other) IS NOT FALSE AND CASE
    jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN 'number' THEN place <= greatest((w->>'m')::numeric, 1) ELSE
    false END) THEN w ELSE w || jsonb_build_object('f', base + place - 1) END ORDER BY place) FROM (SELECT (SELECT
    min(at) FROM jsonb_array_elements(line) WITH ORDINALITY AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS
    DISTINCT FROM jsonb_typeof(line->0->'m')) AS other OFFSET 0) AS kind, jsonb_array_elements(line) WITH ORDINALITY
    AS waiting(w, place)) END AS granted OFFSET 0) AS granting) RETURNING l.name, l.session, l.number, l.fence, CASE
    WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(CASE WHEN l.session = '.beside' THEN l.queue->0->>'h'
    ELSE l.holder END, 65536) END AS holder, (CASE WHEN l.session = '.beside' THEN (SELECT coalesce(min(CASE WHEN
    w->>'s' = $2 AND (w->>'n')::bigint = $3 AND NOT w ? 'f' AND (place < other) IS NOT FALSE AND CASE
    jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN 'number' THEN place <= greatest((w->>'m')::numeric, 1) ELSE
    false END THEN 0 ELSE extract(epoch FROM (w->>'u')::timestamptz) - extract(epoch FROM clock_timestamp()) END), 0)
    FROM (SELECT (SELECT min(at) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS all_of_them(one, at) WHERE
    jsonb_typeof(one->'m') IS DISTINCT FROM jsonb_typeof(l.queue->0->'m')) AS other OFFSET 0) AS kind,
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place)) ELSE extract(epoch FROM l.locked_until) -
    extract(epoch FROM clock_timestamp()) END)::float8 AS seconds, (SELECT greatest(1, place - CASE WHEN l.session =
    '.beside' THEN (SELECT count(*) FROM jsonb_array_elements(l.queue) AS one WHERE one ? 'f') ELSE 0 END) FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3)
    AS place, CASE WHEN l.session = '.beside' THEN (SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) AS w
    WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3 AND (w->>'u')::timestamptz > clock_timestamp()) END AS held) SELECT
    * FROM entered UNION ALL SELECT l.name, l.session, l.number, l.fence, CASE WHEN l.session = $2 AND l.number = $3
    THEN NULL ELSE left(CASE WHEN l.session = '.beside' THEN l.queue->0->>'h' ELSE l.holder END, 65536) END AS holder,
    (CASE WHEN l.session = '.beside' THEN (SELECT coalesce(min(CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = $3 AND
    NOT w ? 'f' AND (place < other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN 'number'
    THEN place <= greatest((w->>'m')::numeric, 1) ELSE false END THEN 0 ELSE extract(epoch FROM
    (w->>'u')::timestamptz) - extract(epoch FROM clock_timestamp()) END), 0) FROM (SELECT (SELECT min(at) FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS DISTINCT
    FROM jsonb_typeof(l.queue->0->'m')) AS other OFFSET 0) AS kind, jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place)) ELSE extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()) END)::float8 AS
    seconds, (SELECT greatest(1, place - CASE WHEN l.session = '.beside' THEN (SELECT count(*) FROM
    jsonb_array_elements(l.queue) AS one WHERE one ? 'f') ELSE 0 END) FROM jsonb_array_elements(l.queue) WITH
    ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3) AS place, CASE WHEN l.session =
    '.beside' THEN (SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2 AND
    (w->>'n')::bigint = $3 AND (w->>'u')::timestamptz > clock_timestamp()) END AS held FROM
    "public"."distributed_locks" AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM entered)
-- look
SELECT l.name, l.session, l.number, l.fence, CASE WHEN l.session = $2 AND l.number = $3 THEN NULL ELSE left(CASE WHEN
    l.session = '.beside' THEN l.queue->0->>'h' ELSE l.holder END, 65536) END AS holder, (CASE WHEN l.session =
    '.beside' THEN (SELECT coalesce(min(CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = $3 AND NOT w ? 'f' AND (place <
    other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN 'number' THEN place <=
    greatest((w->>'m')::numeric, 1) ELSE false END THEN 0 ELSE extract(epoch FROM (w->>'u')::timestamptz) -
    extract(epoch FROM clock_timestamp()) END), 0) FROM (SELECT (SELECT min(at) FROM jsonb_array_elements(l.queue)
    WITH ORDINALITY AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM
    jsonb_typeof(l.queue->0->'m')) AS other OFFSET 0) AS kind, jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place)) ELSE extract(epoch FROM l.locked_until) - extract(epoch FROM clock_timestamp()) END)::float8 AS
    seconds, (SELECT greatest(1, place - CASE WHEN l.session = '.beside' THEN (SELECT count(*) FROM
    jsonb_array_elements(l.queue) AS one WHERE one ? 'f') ELSE 0 END) FROM jsonb_array_elements(l.queue) WITH
    ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3) AS place, CASE WHEN l.session =
    '.beside' THEN (SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) AS w WHERE w->>'s' = $2 AND
    (w->>'n')::bigint = $3 AND (w->>'u')::timestamptz > clock_timestamp()) END AS held FROM
    "public"."distributed_locks" AS l WHERE l.name = ANY($1)
-- renew
WITH mine AS MATERIALIZED (SELECT name, session, number, fence, queue, locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" WHERE name = ANY($1) ORDER BY name COLLATE "C" FOR UPDATE SKIP LOCKED), renewed AS
    (UPDATE "public"."distributed_locks" AS l SET (locked_until, queue) = (SELECT CASE WHEN l.session = $2 AND
    l.number = ANY($3) AND l.locked_until > now AND l.keep_until IS DISTINCT FROM '-infinity' THEN greatest(later,
    l.keep_until) WHEN l.session = '.beside' THEN (SELECT coalesce(max((w->>'u')::timestamptz), l.locked_until) FROM
    jsonb_array_elements(line) AS w WHERE w ? 'f') ELSE l.locked_until END, line FROM (SELECT now, now + $4 * interval
    '1 microsecond' AS later FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock OFFSET 0) AS clock CROSS JOIN
    LATERAL (SELECT CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( CASE WHEN w->>'s' = $2 AND
    (w->>'n')::bigint = ANY($3) AND (w->>'u')::timestamptz > now AND w->>'k' IS DISTINCT FROM '-infinity' THEN w ||
    jsonb_build_object('u', greatest(later, (w->>'k')::timestamptz)) ELSE w END ORDER BY place), '[]') FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now OR l.session
    = '.beside') END AS line OFFSET 0) AS settled) FROM mine WHERE l.name = mine.name RETURNING l.name, CASE WHEN
    l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.number] WHEN l.session = '.beside' THEN
    ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE ARRAY[]::bigint[] END
    AS held, CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.fence] WHEN l.session =
    '.beside' THEN ARRAY(SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE
    ARRAY[]::bigint[] END AS fences, ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY
    AS waiting(w, place) WHERE w->>'s' = $2 AND NOT (w ? 'f' AND l.session = '.beside') ORDER BY place) AS waiting)
    SELECT false AS is_locked, name, held, fences, waiting FROM renewed UNION ALL SELECT true, l.name, CASE WHEN
    l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.number] WHEN l.session = '.beside' THEN
    ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE ARRAY[]::bigint[] END
    AS held, CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.fence] WHEN l.session =
    '.beside' THEN ARRAY(SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE
    ARRAY[]::bigint[] END AS fences, ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY
    AS waiting(w, place) WHERE w->>'s' = $2 AND NOT (w ? 'f' AND l.session = '.beside') ORDER BY place) AS waiting
    FROM "public"."distributed_locks" AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name =
    l.name)
-- renew_waiting
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $5, true) AS lock_timeout OFFSET
    0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t), renewed AS (UPDATE
    "public"."distributed_locks" AS l SET (locked_until, queue) = (SELECT CASE WHEN l.session = $2 AND l.number =
    ANY($3) AND l.locked_until > now AND l.keep_until IS DISTINCT FROM '-infinity' THEN greatest(later, l.keep_until)
    WHEN l.session = '.beside' THEN (SELECT coalesce(max((w->>'u')::timestamptz), l.locked_until) FROM
    jsonb_array_elements(line) AS w WHERE w ? 'f') ELSE l.locked_until END, line FROM (SELECT now, now + $4 * interval
    '1 microsecond' AS later FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock OFFSET 0) AS clock CROSS JOIN
    LATERAL (SELECT CASE WHEN l.queue = '[]' THEN l.queue ELSE (SELECT coalesce(jsonb_agg( CASE WHEN w->>'s' = $2 AND
    (w->>'n')::bigint = ANY($3) AND (w->>'u')::timestamptz > now AND w->>'k' IS DISTINCT FROM '-infinity' THEN w ||
    jsonb_build_object('u', greatest(later, (w->>'k')::timestamptz)) ELSE w END ORDER BY place), '[]') FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now OR l.session
    = '.beside') END AS line OFFSET 0) AS settled) FROM mine WHERE l.name = mine.name RETURNING l.name, CASE WHEN
    l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.number] WHEN l.session = '.beside' THEN
    ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE ARRAY[]::bigint[] END
    AS held, CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.fence] WHEN l.session =
    '.beside' THEN ARRAY(SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE
    ARRAY[]::bigint[] END AS fences, ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY
    AS waiting(w, place) WHERE w->>'s' = $2 AND NOT (w ? 'f' AND l.session = '.beside') ORDER BY place) AS waiting)
    SELECT false AS is_locked, name, held, fences, waiting FROM renewed UNION ALL SELECT true, l.name, CASE WHEN
    l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.number] WHEN l.session = '.beside' THEN
    ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE ARRAY[]::bigint[] END
    AS held, CASE WHEN l.session = $2 AND l.locked_until > clock_timestamp() THEN ARRAY[l.fence] WHEN l.session =
    '.beside' THEN ARRAY(SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE w->>'s' = $2 AND w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp() ORDER BY place) ELSE
    ARRAY[]::bigint[] END AS fences, ARRAY(SELECT (w->>'n')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY
    AS waiting(w, place) WHERE w->>'s' = $2 AND NOT (w ? 'f' AND l.session = '.beside') ORDER BY place) AS waiting
    FROM "public"."distributed_locks" AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name =
    l.name)
-- leave_unqueued
UPDATE "public"."distributed_locks" AS l SET session = NULL, number = NULL, holder = NULL, locked_until =
    least(l.locked_until, clock_timestamp()), keep_until = NULL FROM (SELECT set_config('lock_timeout', $4, true) AS
    lock_timeout OFFSET 0) AS lock_timeout WHERE l.name = $1 AND l.session = $2 AND l.number = $3 AND l.queue = '[]'
    RETURNING l.name
-- enter_many
WITH wanted AS MATERIALIZED (SELECT name, number, holder FROM unnest($1::text[], $3::bigint[], $4::text[]) AS
    wanted(name, number, holder)), mine AS MATERIALIZED (SELECT name FROM "public"."distributed_locks" WHERE name =
    ANY($1) AND locked_until <= clock_timestamp() AND queue = '[]' ORDER BY name COLLATE "C" FOR UPDATE SKIP LOCKED),
    taken AS (UPDATE "public"."distributed_locks" AS l SET fence = greatest(l.fence + 1, (extract(epoch FROM
    clock_timestamp()) * 1000000)::bigint), session = $2, number = wanted.number, holder = wanted.holder, locked_until
    = clock_timestamp() + $5 * interval '1 microsecond', keep_until = NULL FROM mine, wanted WHERE l.name = mine.name
    AND wanted.name = mine.name RETURNING l.name, l.fence), added AS (INSERT INTO "public"."distributed_locks" AS l
    (name, fence, session, number, holder, locked_until) SELECT wanted.name, (extract(epoch FROM now) *
    1000000)::bigint, $2, wanted.number, wanted.holder, now + $5 * interval '1 microsecond' + $6::interval FROM
    wanted, (SELECT clock_timestamp() AS now, set_config('lock_timeout', $6, true) AS lock_timeout OFFSET 0) AS clock
    WHERE NOT EXISTS (SELECT FROM "public"."distributed_locks" AS known WHERE known.name = wanted.name) ORDER BY
    wanted.name COLLATE "C" ON CONFLICT (name) DO NOTHING RETURNING l.name, l.fence) SELECT name, fence FROM taken
    UNION ALL SELECT name, fence FROM added
-- leave_many
WITH mine AS MATERIALIZED (SELECT t.name FROM unnest($1::text[], $3::bigint[]) AS leaving(name, number),
    "public"."distributed_locks" AS t WHERE t.name = leaving.name AND t.session = $2 AND t.number = leaving.number AND
    t.queue = '[]' ORDER BY t.name COLLATE "C" FOR UPDATE OF t SKIP LOCKED) UPDATE "public"."distributed_locks" AS l
    SET session = NULL, number = NULL, holder = NULL, locked_until = least(l.locked_until, clock_timestamp()),
    keep_until = NULL FROM mine WHERE l.name = mine.name RETURNING l.name, l.fence
-- leave
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $6, true) AS lock_timeout OFFSET
    0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t), left_it AS (UPDATE
    "public"."distributed_locks" AS l SET (fence, session, number, holder, locked_until, keep_until, queue) = (SELECT
    CASE WHEN direct OR next IS NOT NULL THEN base WHEN beside AND granted <> line THEN base +
    jsonb_array_length(line) - 1 ELSE l.fence END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'s'
    WHEN beside THEN '.beside' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session
    END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE
    WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, CASE WHEN direct THEN
    NULL WHEN next IS NOT NULL THEN (next->>'u')::timestamptz WHEN beside THEN (SELECT max((w->>'u')::timestamptz)
    FROM jsonb_array_elements(granted) AS w WHERE w ? 'f') WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until
    ELSE least(l.locked_until, now) END, CASE WHEN next IS NULL AND taken THEN l.keep_until END, CASE WHEN beside THEN
    granted WHEN next IS NULL THEN line ELSE line - 0 END FROM (SELECT now, greatest(l.fence + 1, (extract(epoch FROM
    now) * 1000000)::bigint) AS base FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock) AS clock CROSS JOIN
    LATERAL (SELECT coalesce(l.session IN ($2, $2 || '.kept') AND l.number = ANY($3), false) AS held OFFSET 0) AS own
    CROSS JOIN LATERAL (SELECT coalesce(held AND $5 AND l.keep_until > now, false) AS kept) AS keeping CROSS JOIN
    LATERAL (SELECT l.locked_until > now AND l.session IS DISTINCT FROM '.beside' AND coalesce(NOT held OR kept,
    false) AS taken OFFSET 0) AS state CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive
    FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS
    living CROSS JOIN LATERAL (SELECT false AS direct OFFSET 0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct
    THEN alive ELSE (SELECT coalesce(jsonb_agg(CASE WHEN leaves THEN w || jsonb_build_object('s', $2 || '.kept', 'u',
    w->>'k') ELSE w END ORDER BY place), '[]') FROM jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place),
    LATERAL (SELECT w->>'s' IN ($2, $2 || '.kept') AND (w->>'n')::bigint = ANY($3) AS leaves OFFSET 0) AS own WHERE
    NOT leaves OR ($5 AND w ? 'f' AND (w->>'k')::timestamptz > now) IS TRUE) END AS line OFFSET 0) AS settled CROSS
    JOIN LATERAL (SELECT coalesce(NOT taken AND line->0 ? 'm', false) AS beside, CASE WHEN NOT taken AND NOT line->0 ?
    'm' THEN line->0 END AS next) AS first CROSS JOIN LATERAL (SELECT CASE WHEN beside THEN (SELECT jsonb_agg(CASE
    WHEN w ? 'f' OR NOT ((place < other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN
    'number' THEN place <= greatest((w->>'m')::numeric, 1) ELSE false END) THEN w ELSE w || jsonb_build_object('f',
    base + place - 1) END ORDER BY place) FROM (SELECT (SELECT min(at) FROM jsonb_array_elements(line) WITH ORDINALITY
    AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM jsonb_typeof(line->0->'m')) AS other OFFSET
    0) AS kind, jsonb_array_elements(line) WITH ORDINALITY AS waiting(w, place)) END AS granted OFFSET 0) AS granting)
    FROM mine WHERE l.name = mine.name RETURNING CASE WHEN l.session NOT LIKE '%.kept' THEN l.session END AS session,
    l.number, l.fence, l.queue, l.locked_until, mine.fence AS before, coalesce(mine.session IN ($2, $2 || '.kept') AND
    mine.number = ANY($3), false) OR $5 AND l.session = '.beside' AS is_other), notified AS MATERIALIZED (SELECT
    pg_notify($4, payload) FROM left_it CROSS JOIN LATERAL ( SELECT format('turn %s %s %s', session, number, fence) AS
    payload WHERE fence > before AND session <> '.beside' UNION ALL SELECT format('turn %s %s %s', w->>'s', w->>'n',
    w->>'f') FROM jsonb_array_elements(queue) AS w WHERE session = '.beside' AND (w->>'f')::bigint > before UNION ALL
    (SELECT format('wait %s %s %s', w->>'s', w->>'n', greatest(0, (extract(epoch FROM CASE WHEN session = '.beside'
    THEN (SELECT min((one->>'u')::timestamptz) FROM jsonb_array_elements(queue) AS one WHERE one ? 'f') ELSE
    locked_until END - clock_timestamp()) * 1000000)::bigint)) AS payload FROM jsonb_array_elements(queue) WITH
    ORDINALITY AS waiting(w, place) WHERE (is_other OR fence > before) AND NOT w ? 'f' ORDER BY place LIMIT 1)) AS
    notice WHERE $4 IS NOT NULL) SELECT NULL::text AS name FROM notified
-- leave_unlocked
WITH mine AS MATERIALIZED (SELECT name, session, number, fence, queue, locked_until > clock_timestamp() AS taken FROM
    "public"."distributed_locks" WHERE name = ANY($1) ORDER BY name COLLATE "C" FOR UPDATE SKIP LOCKED), left_it AS
    (UPDATE "public"."distributed_locks" AS l SET (fence, session, number, holder, locked_until, keep_until, queue) =
    (SELECT CASE WHEN direct OR next IS NOT NULL THEN base WHEN beside AND granted <> line THEN base +
    jsonb_array_length(line) - 1 ELSE l.fence END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'s'
    WHEN beside THEN '.beside' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN taken THEN l.session
    END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken THEN l.number END, CASE
    WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END, CASE WHEN direct THEN
    NULL WHEN next IS NOT NULL THEN (next->>'u')::timestamptz WHEN beside THEN (SELECT max((w->>'u')::timestamptz)
    FROM jsonb_array_elements(granted) AS w WHERE w ? 'f') WHEN kept THEN l.keep_until WHEN taken THEN l.locked_until
    ELSE least(l.locked_until, now) END, CASE WHEN next IS NULL AND taken THEN l.keep_until END, CASE WHEN beside THEN
    granted WHEN next IS NULL THEN line ELSE line - 0 END FROM (SELECT now, greatest(l.fence + 1, (extract(epoch FROM
    now) * 1000000)::bigint) AS base FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock) AS clock CROSS JOIN
    LATERAL (SELECT coalesce(l.session IN ($2, $2 || '.kept') AND l.number = ANY($3), false) AS held OFFSET 0) AS own
    CROSS JOIN LATERAL (SELECT coalesce(held AND $5 AND l.keep_until > now, false) AS kept) AS keeping CROSS JOIN
    LATERAL (SELECT l.locked_until > now AND l.session IS DISTINCT FROM '.beside' AND coalesce(NOT held OR kept,
    false) AS taken OFFSET 0) AS state CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive
    FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS
    living CROSS JOIN LATERAL (SELECT false AS direct OFFSET 0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct
    THEN alive ELSE (SELECT coalesce(jsonb_agg(CASE WHEN leaves THEN w || jsonb_build_object('s', $2 || '.kept', 'u',
    w->>'k') ELSE w END ORDER BY place), '[]') FROM jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place),
    LATERAL (SELECT w->>'s' IN ($2, $2 || '.kept') AND (w->>'n')::bigint = ANY($3) AS leaves OFFSET 0) AS own WHERE
    NOT leaves OR ($5 AND w ? 'f' AND (w->>'k')::timestamptz > now) IS TRUE) END AS line OFFSET 0) AS settled CROSS
    JOIN LATERAL (SELECT coalesce(NOT taken AND line->0 ? 'm', false) AS beside, CASE WHEN NOT taken AND NOT line->0 ?
    'm' THEN line->0 END AS next) AS first CROSS JOIN LATERAL (SELECT CASE WHEN beside THEN (SELECT jsonb_agg(CASE
    WHEN w ? 'f' OR NOT ((place < other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN
    'number' THEN place <= greatest((w->>'m')::numeric, 1) ELSE false END) THEN w ELSE w || jsonb_build_object('f',
    base + place - 1) END ORDER BY place) FROM (SELECT (SELECT min(at) FROM jsonb_array_elements(line) WITH ORDINALITY
    AS all_of_them(one, at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM jsonb_typeof(line->0->'m')) AS other OFFSET
    0) AS kind, jsonb_array_elements(line) WITH ORDINALITY AS waiting(w, place)) END AS granted OFFSET 0) AS granting)
    FROM mine WHERE l.name = mine.name RETURNING CASE WHEN l.session NOT LIKE '%.kept' THEN l.session END AS session,
    l.number, l.fence, l.queue, l.locked_until, mine.fence AS before, coalesce(mine.session IN ($2, $2 || '.kept') AND
    mine.number = ANY($3), false) OR $5 AND l.session = '.beside' AS is_other), notified AS MATERIALIZED (SELECT
    pg_notify($4, payload) FROM left_it CROSS JOIN LATERAL ( SELECT format('turn %s %s %s', session, number, fence) AS
    payload WHERE fence > before AND session <> '.beside' UNION ALL SELECT format('turn %s %s %s', w->>'s', w->>'n',
    w->>'f') FROM jsonb_array_elements(queue) AS w WHERE session = '.beside' AND (w->>'f')::bigint > before UNION ALL
    (SELECT format('wait %s %s %s', w->>'s', w->>'n', greatest(0, (extract(epoch FROM CASE WHEN session = '.beside'
    THEN (SELECT min((one->>'u')::timestamptz) FROM jsonb_array_elements(queue) AS one WHERE one ? 'f') ELSE
    locked_until END - clock_timestamp()) * 1000000)::bigint)) AS payload FROM jsonb_array_elements(queue) WITH
    ORDINALITY AS waiting(w, place) WHERE (is_other OR fence > before) AND NOT w ? 'f' ORDER BY place LIMIT 1)) AS
    notice WHERE $4 IS NOT NULL) SELECT NULL::text AS name FROM notified UNION ALL SELECT l.name FROM
    "public"."distributed_locks" AS l WHERE l.name = ANY($1) AND NOT EXISTS (SELECT FROM mine WHERE mine.name =
    l.name)
-- lapse
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $6, true) AS lock_timeout OFFSET
    0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t), lapsing AS (UPDATE
    "public"."distributed_locks" AS l SET (locked_until, keep_until, queue) = (SELECT CASE WHEN beside THEN (SELECT
    max((w->>'u')::timestamptz) FROM jsonb_array_elements(line) AS w WHERE w ? 'f') ELSE CASE WHEN l.keep_until =
    '-infinity' THEN least(l.locked_until, until) ELSE until END END, CASE WHEN beside THEN NULL ELSE
    '-infinity'::timestamptz END, line FROM (SELECT l.session = '.beside' AS beside, clock_timestamp() + $4 * interval
    '1 microsecond' AS until OFFSET 0) AS clock CROSS JOIN LATERAL (SELECT CASE WHEN NOT beside THEN l.queue ELSE
    (SELECT jsonb_agg(CASE WHEN w->>'s' = $2 AND (w->>'n')::bigint = $3 THEN w || jsonb_build_object('u', CASE WHEN
    (w->>'k')::timestamptz = '-infinity' THEN least((w->>'u')::timestamptz, until) ELSE until END, 'k',
    '-infinity'::timestamptz) ELSE w END ORDER BY place) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS
    waiting(w, place)) END AS line OFFSET 0) AS settled) FROM mine WHERE l.name = mine.name AND (SELECT count(*) FROM
    mine WHERE taken AND session = $2 AND number = $3 OR session = '.beside' AND EXISTS (SELECT FROM
    jsonb_array_elements(queue) WITH ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3 AND
    w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp())) = cardinality($1) RETURNING l.name, l.session, l.queue,
    l.locked_until) SELECT name, (SELECT pg_notify($5, payload) FROM (SELECT format('wait %s %s %s', w->>'s', w->>'n',
    greatest(0, (extract(epoch FROM CASE WHEN session = '.beside' THEN (SELECT min((one->>'u')::timestamptz) FROM
    jsonb_array_elements(queue) AS one WHERE one ? 'f') ELSE locked_until END - clock_timestamp()) *
    1000000)::bigint)) AS payload FROM jsonb_array_elements(queue) WITH ORDINALITY AS waiting(w, place) WHERE (true)
    AND NOT w ? 'f' ORDER BY place LIMIT 1) AS notice WHERE $5 IS NOT NULL) AS notice FROM lapsing
-- extend
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $5, true) AS lock_timeout OFFSET
    0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t) UPDATE
    "public"."distributed_locks" AS l SET (locked_until, keep_until, queue) = (SELECT CASE WHEN beside THEN (SELECT
    max((w->>'u')::timestamptz) FROM jsonb_array_elements(line) AS w WHERE w ? 'f') ELSE greatest(l.locked_until,
    until) END, CASE WHEN beside THEN NULL ELSE greatest(l.keep_until, until) END, line FROM (SELECT l.session =
    '.beside' AS beside, clock_timestamp() + $4 * interval '1 microsecond' AS until OFFSET 0) AS clock CROSS JOIN
    LATERAL (SELECT CASE WHEN NOT beside THEN l.queue ELSE (SELECT jsonb_agg(CASE WHEN w->>'s' = $2 AND
    (w->>'n')::bigint = $3 THEN w || jsonb_build_object('u', greatest((w->>'u')::timestamptz, until), 'k',
    greatest((w->>'k')::timestamptz, until)) ELSE w END ORDER BY place) FROM jsonb_array_elements(l.queue) WITH
    ORDINALITY AS waiting(w, place)) END AS line OFFSET 0) AS settled) FROM mine WHERE l.name = mine.name AND (SELECT
    count(*) FROM mine WHERE taken AND session = $2 AND number = $3 OR session = '.beside' AND EXISTS (SELECT FROM
    jsonb_array_elements(queue) WITH ORDINALITY AS waiting(w, place) WHERE w->>'s' = $2 AND (w->>'n')::bigint = $3 AND
    w ? 'f' AND (w->>'u')::timestamptz > clock_timestamp())) = cardinality($1) RETURNING l.name
-- force_release
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $4, true) AS lock_timeout OFFSET
    0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t), former AS MATERIALIZED
    (SELECT mine.name, one.session, one.number FROM mine, LATERAL (SELECT mine.session AS session, mine.number AS
    number WHERE mine.taken AND mine.session IS DISTINCT FROM '.beside' AND (cardinality($3) = 0 OR mine.fence =
    ANY($3)) UNION ALL SELECT w->>'s', (w->>'n')::bigint FROM jsonb_array_elements(mine.queue) AS w WHERE mine.session
    = '.beside' AND w ? 'f' AND (cardinality($3) = 0 OR (w->>'f')::bigint = ANY($3)) AND (w->>'u')::timestamptz >
    clock_timestamp()) AS one), freed AS (UPDATE "public"."distributed_locks" AS l SET (fence, session, number,
    holder, locked_until, keep_until, queue) = (SELECT CASE WHEN direct OR next IS NOT NULL THEN base WHEN beside AND
    granted <> line THEN base + jsonb_array_length(line) - 1 ELSE l.fence END, CASE WHEN direct THEN NULL WHEN next IS
    NOT NULL THEN next->>'s' WHEN beside THEN '.beside' WHEN kept THEN replace(l.session, '.kept', '') || '.kept' WHEN
    taken THEN l.session END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'n')::bigint WHEN taken
    THEN l.number END, CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN next->>'h' WHEN taken THEN l.holder END,
    CASE WHEN direct THEN NULL WHEN next IS NOT NULL THEN (next->>'u')::timestamptz WHEN beside THEN (SELECT
    max((w->>'u')::timestamptz) FROM jsonb_array_elements(granted) AS w WHERE w ? 'f') WHEN kept THEN l.keep_until
    WHEN taken THEN l.locked_until ELSE least(l.locked_until, now) END, CASE WHEN next IS NULL AND taken THEN
    l.keep_until END, CASE WHEN beside THEN granted WHEN next IS NULL THEN line ELSE line - 0 END FROM (SELECT now,
    greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) AS base FROM (SELECT clock_timestamp() AS now
    OFFSET 0) AS clock) AS clock CROSS JOIN LATERAL (SELECT NULL::boolean AS held OFFSET 0) AS own CROSS JOIN LATERAL
    (SELECT coalesce(held AND false AND l.keep_until > now, false) AS kept) AS keeping CROSS JOIN LATERAL (SELECT
    l.locked_until > now AND l.session IS DISTINCT FROM '.beside' AND coalesce(NOT held OR kept, false) AS taken
    OFFSET 0) AS state CROSS JOIN LATERAL (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') AS alive FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now) AS living
    CROSS JOIN LATERAL (SELECT false AS direct OFFSET 0) AS freedom CROSS JOIN LATERAL (SELECT CASE WHEN direct THEN
    alive ELSE CASE WHEN l.session = '.beside' THEN (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') FROM
    jsonb_array_elements(alive) WITH ORDINALITY AS waiting(w, place) WHERE NOT (w ? 'f' AND (cardinality($3) = 0 OR
    (w->>'f')::bigint = ANY($3)))) ELSE alive END END AS line OFFSET 0) AS settled CROSS JOIN LATERAL (SELECT
    coalesce(NOT taken AND line->0 ? 'm', false) AS beside, CASE WHEN NOT taken AND NOT line->0 ? 'm' THEN line->0 END
    AS next) AS first CROSS JOIN LATERAL (SELECT CASE WHEN beside THEN (SELECT jsonb_agg(CASE WHEN w ? 'f' OR NOT
    ((place < other) IS NOT FALSE AND CASE jsonb_typeof(w->'m') WHEN 'string' THEN true WHEN 'number' THEN place <=
    greatest((w->>'m')::numeric, 1) ELSE false END) THEN w ELSE w || jsonb_build_object('f', base + place - 1) END
    ORDER BY place) FROM (SELECT (SELECT min(at) FROM jsonb_array_elements(line) WITH ORDINALITY AS all_of_them(one,
    at) WHERE jsonb_typeof(one->'m') IS DISTINCT FROM jsonb_typeof(line->0->'m')) AS other OFFSET 0) AS kind,
    jsonb_array_elements(line) WITH ORDINALITY AS waiting(w, place)) END AS granted OFFSET 0) AS granting) FROM mine
    WHERE l.name = mine.name AND EXISTS (SELECT FROM former) RETURNING l.session, l.number, l.fence, l.queue,
    l.locked_until, mine.fence AS before), notified AS MATERIALIZED (SELECT pg_notify($2, payload) FROM freed CROSS
    JOIN LATERAL ( SELECT format('turn %s %s %s', session, number, fence) AS payload WHERE fence > before AND session
    <> '.beside' UNION ALL SELECT format('turn %s %s %s', w->>'s', w->>'n', w->>'f') FROM jsonb_array_elements(queue)
    AS w WHERE session = '.beside' AND (w->>'f')::bigint > before UNION ALL (SELECT format('wait %s %s %s', w->>'s',
    w->>'n', greatest(0, (extract(epoch FROM CASE WHEN session = '.beside' THEN (SELECT min((one->>'u')::timestamptz)
    FROM jsonb_array_elements(queue) AS one WHERE one ? 'f') ELSE locked_until END - clock_timestamp()) *
    1000000)::bigint)) AS payload FROM jsonb_array_elements(queue) WITH ORDINALITY AS waiting(w, place) WHERE (true OR
    fence > before) AND NOT w ? 'f' ORDER BY place LIMIT 1)) AS notice WHERE $2 IS NOT NULL) SELECT name, CASE WHEN
    former.session IS NOT NULL AND $2 IS NOT NULL THEN pg_notify($2, format('gone %s %s', former.session,
    former.number)) END AS notice FROM former, (SELECT count(*) FROM notified) AS notices
-- inspect_key
SELECT l.name, (extract(epoch FROM now) * 1000)::bigint AS now, CASE WHEN l.session = '.beside' THEN ARRAY(SELECT
    left(w->>'h', 65536) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    (w->>'u')::timestamptz > now AND w ? 'f' ORDER BY place) ELSE ARRAY(SELECT left(l.holder, 65536) WHERE
    l.locked_until > now) END AS holders, CASE WHEN l.session = '.beside' THEN ARRAY(SELECT (w->>'f')::bigint FROM
    jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now AND w ? 'f'
    ORDER BY place) ELSE ARRAY(SELECT l.fence WHERE l.locked_until > now) END AS fences, CASE WHEN l.session =
    '.beside' THEN ARRAY(SELECT CASE WHEN isfinite((w->>'u')::timestamptz) THEN (extract(epoch FROM
    (w->>'u')::timestamptz) * 1000)::bigint END FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE (w->>'u')::timestamptz > now AND w ? 'f' ORDER BY place) ELSE ARRAY(SELECT CASE WHEN
    isfinite(l.locked_until) THEN (extract(epoch FROM l.locked_until) * 1000)::bigint END WHERE l.locked_until > now)
    END AS ends, ARRAY(SELECT left(w->>'h', 65536) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE (w->>'u')::timestamptz > now AND NOT (w ? 'f' AND l.session = '.beside' IS TRUE) ORDER BY place) AS
    waiting, ARRAY(SELECT CASE WHEN isfinite((w->>'u')::timestamptz) THEN (extract(epoch FROM (w->>'u')::timestamptz)
    * 1000)::bigint END FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    (w->>'u')::timestamptz > now AND NOT (w ? 'f' AND l.session = '.beside' IS TRUE) ORDER BY place) AS waiting_ends
    FROM "public"."distributed_locks" AS l, (SELECT clock_timestamp() AS now OFFSET 0) AS clock WHERE (l.locked_until
    > now OR l.queue <> '[]') AND l.name = $1
-- inspect_prefix
WITH page AS MATERIALIZED (SELECT name, fence, session, locked_until, holder, queue FROM "public"."distributed_locks"
    WHERE name COLLATE "C" >= $2 ORDER BY name COLLATE "C" LIMIT 5000), last AS MATERIALIZED (SELECT max(name COLLATE
    "C") AS name, count(*) = 5000 AS more FROM page) SELECT l.name, (extract(epoch FROM now) * 1000)::bigint AS now,
    CASE WHEN l.session = '.beside' THEN ARRAY(SELECT left(w->>'h', 65536) FROM jsonb_array_elements(l.queue) WITH
    ORDINALITY AS waiting(w, place) WHERE (w->>'u')::timestamptz > now AND w ? 'f' ORDER BY place) ELSE ARRAY(SELECT
    left(l.holder, 65536) WHERE l.locked_until > now) END AS holders, CASE WHEN l.session = '.beside' THEN
    ARRAY(SELECT (w->>'f')::bigint FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    (w->>'u')::timestamptz > now AND w ? 'f' ORDER BY place) ELSE ARRAY(SELECT l.fence WHERE l.locked_until > now) END
    AS fences, CASE WHEN l.session = '.beside' THEN ARRAY(SELECT CASE WHEN isfinite((w->>'u')::timestamptz) THEN
    (extract(epoch FROM (w->>'u')::timestamptz) * 1000)::bigint END FROM jsonb_array_elements(l.queue) WITH ORDINALITY
    AS waiting(w, place) WHERE (w->>'u')::timestamptz > now AND w ? 'f' ORDER BY place) ELSE ARRAY(SELECT CASE WHEN
    isfinite(l.locked_until) THEN (extract(epoch FROM l.locked_until) * 1000)::bigint END WHERE l.locked_until > now)
    END AS ends, ARRAY(SELECT left(w->>'h', 65536) FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w,
    place) WHERE (w->>'u')::timestamptz > now AND NOT (w ? 'f' AND l.session = '.beside' IS TRUE) ORDER BY place) AS
    waiting, ARRAY(SELECT CASE WHEN isfinite((w->>'u')::timestamptz) THEN (extract(epoch FROM (w->>'u')::timestamptz)
    * 1000)::bigint END FROM jsonb_array_elements(l.queue) WITH ORDINALITY AS waiting(w, place) WHERE
    (w->>'u')::timestamptz > now AND NOT (w ? 'f' AND l.session = '.beside' IS TRUE) ORDER BY place) AS waiting_ends,
    last.more FROM page AS l, last, (SELECT clock_timestamp() AS now OFFSET 0) AS clock WHERE (l.locked_until > now OR
    l.queue <> '[]') AND starts_with(l.name, $1) OR l.name = last.name ORDER BY l.name COLLATE "C"
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
-- mark_done
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $6, true) AS lock_timeout OFFSET
    0) AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t) INSERT INTO
    "public"."distributed_locks" AS l (name, fence, holder, locked_until) SELECT $4, fence, $5, timestamptz '9999-12-31 00:00:00+00'
    FROM mine WHERE taken AND session = $2 AND number = $3 ON CONFLICT (name) DO UPDATE SET fence = EXCLUDED.fence,
    holder = EXCLUDED.holder, locked_until = timestamptz '9999-12-31 00:00:00+00' RETURNING l.name
-- read_done
SELECT holder FROM "public"."distributed_locks" WHERE name = $1 AND holder IS NOT NULL
-- delete_done
DELETE FROM "public"."distributed_locks" WHERE name = $1 AND holder IS NOT NULL AND (SELECT set_config('lock_timeout',
    $2, true)) IS NOT NULL RETURNING name
-- empty_done
UPDATE "public"."distributed_locks" SET holder = NULL, locked_until = clock_timestamp() WHERE name = $1 AND holder IS NOT
    NULL AND (SELECT set_config('lock_timeout', $2, true)) IS NOT NULL RETURNING name
-- detach
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $8, true) AS lock_timeout OFFSET 0)
    AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t), detached AS (UPDATE
    "public"."distributed_locks" AS l SET session = $4, number = 0, holder = $6, keep_until = NULL, locked_until = CASE
    WHEN l.session = $4 THEN l.locked_until ELSE clock_timestamp() + $5 * interval '1 microsecond' END FROM mine WHERE
    l.name = mine.name AND taken AND (mine.session = $2 AND mine.number = $3 OR mine.session = $4) RETURNING l.name,
    l.session, l.queue, l.locked_until) SELECT name, (SELECT pg_notify($7, payload) FROM (SELECT format('wait %s %s %s',
    w->>'s', w->>'n', greatest(0, (extract(epoch FROM CASE WHEN session = '.beside' THEN (SELECT
    min((one->>'u')::timestamptz) FROM jsonb_array_elements(queue) AS one WHERE one ? 'f') ELSE locked_until END -
    clock_timestamp()) * 1000000)::bigint)) AS payload FROM jsonb_array_elements(queue) WITH ORDINALITY AS waiting(w,
    place) WHERE (true) AND NOT w ? 'f' ORDER BY place LIMIT 1) AS notice WHERE $7 IS NOT NULL) AS notice FROM detached
-- adopt
WITH mine AS MATERIALIZED (SELECT t.name, t.session, t.number, t.fence, t.queue, t.locked_until > clock_timestamp() AS
    taken FROM "public"."distributed_locks" AS t, (SELECT set_config('lock_timeout', $8, true) AS lock_timeout OFFSET 0)
    AS lock_timeout WHERE t.name = ANY($1) ORDER BY t.name COLLATE "C" FOR UPDATE OF t), adopted AS (UPDATE
    "public"."distributed_locks" AS l SET (fence, session, number, holder, locked_until) = (SELECT CASE WHEN l.session =
    $2 THEN greatest(l.fence + 1, (extract(epoch FROM now) * 1000000)::bigint) ELSE l.fence END, $3, $4, $5, CASE WHEN
    l.session = $2 THEN now + $6 * interval '1 microsecond' ELSE l.locked_until END FROM (SELECT clock_timestamp() AS
    now OFFSET 0) AS clock) FROM mine WHERE l.name = mine.name AND taken AND (mine.session = $2 OR mine.session = $3 AND
    mine.number = $4) RETURNING l.fence, l.session, l.queue, l.locked_until) SELECT fence, (SELECT pg_notify($7,
    payload) FROM (SELECT format('wait %s %s %s', w->>'s', w->>'n', greatest(0, (extract(epoch FROM CASE WHEN session =
    '.beside' THEN (SELECT min((one->>'u')::timestamptz) FROM jsonb_array_elements(queue) AS one WHERE one ? 'f') ELSE
    locked_until END - clock_timestamp()) * 1000000)::bigint)) AS payload FROM jsonb_array_elements(queue) WITH
    ORDINALITY AS waiting(w, place) WHERE (true) AND NOT w ? 'f' ORDER BY place LIMIT 1) AS notice WHERE $7 IS NOT NULL)
    AS notice FROM adopted
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
