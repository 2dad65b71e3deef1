-- now
TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))

-- writes
CONCAT(@@global.read_only) IN ('0', 'OFF') AND @@global.innodb_read_only = 0

-- acquire
SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE `locks`.`distributed_locks` FORCE INDEX (PRIMARY)
SET version = GREATEST(version + 1, :now), fence = LAST_INSERT_ID(GREATEST(fence + 1, :now)), session = ?, number = :each, holder = :each,
    locked_until = :now + ?, keep_until = NULL
WHERE :in(name) AND locked_until <= :now AND queue = '' AND :writes

-- release
SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE `locks`.`distributed_locks` FORCE INDEX (PRIMARY)
SET version = GREATEST(version + 1, :now), session = NULL, number = NULL, holder = NULL, locked_until = LEAST(locked_until, :now), keep_until = NULL
WHERE :in(name) AND session = ? AND number = :each AND queue = '' AND :writes

-- renew
SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE `locks`.`distributed_locks` FORCE INDEX (PRIMARY)
SET version = GREATEST(version + 1, :now), locked_until = GREATEST(locked_until, :now + ?)
WHERE :in(name) AND session = ? AND :in(number) AND locked_until > :now
    AND (keep_until IS NULL OR keep_until <> -9223372036854775808) AND :writes

-- read
SELECT l.name, l.version, l.fence, l.session, l.number, l.holder, l.locked_until, l.keep_until, l.queue, :now AS now, :writes AS writes
FROM (SELECT 1 AS one) AS here LEFT JOIN `locks`.`distributed_locks` AS l FORCE INDEX (PRIMARY) ON :in(l.name)

-- unlocked
SELECT name FROM `locks`.`distributed_locks` FORCE INDEX (PRIMARY) WHERE :in(name) FOR UPDATE SKIP LOCKED

-- swap_each
SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE `locks`.`distributed_locks` FORCE INDEX (PRIMARY)
SET version = GREATEST(version + 1, :now), fence = :each, session = :each, number = :each, holder = :each, locked_until = :each, keep_until = :each,
    queue = :each
WHERE (:pairs) AND :writes

-- swap_all
SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE `locks`.`distributed_locks` FORCE INDEX (PRIMARY)
SET version = GREATEST(version + IF(version = :each, 1, 9223372036854775807), :now), fence = :each, session = :each, number = :each, holder = :each,
    locked_until = :each, keep_until = :each, queue = :each
WHERE :in(name) AND :writes

-- insert
SET STATEMENT innodb_lock_wait_timeout = 0 FOR INSERT INTO `locks`.`distributed_locks` (name, version, fence, locked_until, queue)
:union SELECT ?, :now, 0, :now, '' FROM DUAL WHERE :writes :end
ON DUPLICATE KEY UPDATE `locks`.`distributed_locks`.version = `locks`.`distributed_locks`.version

-- insert_held
SET STATEMENT innodb_lock_wait_timeout = 0 FOR INSERT INTO `locks`.`distributed_locks`
    (name, version, fence, session, number, holder, locked_until, queue)
:union SELECT ?, :now, LAST_INSERT_ID(:now), ?, ?, ?, :now + ?, '' FROM DUAL WHERE :writes :end

-- page
SELECT l.name, l.version, l.fence, l.session, l.number, l.holder, l.locked_until, l.keep_until, l.queue, :now AS now, :writes AS writes
FROM `locks`.`distributed_locks` AS l FORCE INDEX (PRIMARY) WHERE l.name > ? AND l.name < ? ORDER BY l.name LIMIT 2000

-- delete
SET STATEMENT innodb_lock_wait_timeout = 0 FOR DELETE FROM `locks`.`distributed_locks`
USING `locks`.`distributed_locks` FORCE INDEX (PRIMARY) WHERE :in(name) AND locked_until < ? AND queue = '' AND :writes

-- find
SELECT c.COLUMN_NAME AS name, c.DATA_TYPE AS kind, c.CHARACTER_MAXIMUM_LENGTH AS room, c.DATETIME_PRECISION AS digits,
    c.IS_NULLABLE = 'NO' AND c.COLUMN_DEFAULT IS NULL AND c.EXTRA = '' AS is_required, VERSION() AS version, t.ENGINE AS engine,
    (SELECT COUNT(*) = 1 AND MAX(s.COLUMN_NAME) = 'name' FROM information_schema.STATISTICS AS s
        WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY') AS is_primary
FROM information_schema.TABLES AS t JOIN information_schema.COLUMNS AS c
    ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?

-- create
CREATE TABLE IF NOT EXISTS `locks`.`distributed_locks` (
    name VARBINARY(1536) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    session VARBINARY(64) NULL,
    number BIGINT NULL,
    locked_until BIGINT NOT NULL,
    keep_until BIGINT NULL,
    holder LONGBLOB NULL,
    queue LONGBLOB NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC

-- settings
SET SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1

-- isolation
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED

-- is_writable
SELECT :writes
