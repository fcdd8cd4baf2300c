-- The first schema: the log, its topics, and what must be subscribed again after a restart.

-- One row: what must survive so that no id ever names two messages, and readers learn what is gone.
CREATE TABLE log (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch        TEXT    NOT NULL,           -- made with the file; a position is <epoch>.<id>
    created_us   INTEGER NOT NULL,
    reserved_id  INTEGER NOT NULL DEFAULT 0, -- no id above this one was ever given out
    pruned_id    INTEGER NOT NULL DEFAULT 0, -- retention has removed everything up to here
    closed_clean INTEGER NOT NULL DEFAULT 1, -- 0 while a process has the file open
    window_id    INTEGER NOT NULL DEFAULT 0  -- rows from here on may be redelivered by the broker
) STRICT;

-- Topic names once, numbered: rows and their index carry two bytes instead of forty.
CREATE TABLE topic (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    message_count INTEGER NOT NULL DEFAULT 0, -- rows now, kept in the inserting transaction
    first_seen_us INTEGER NOT NULL,
    last_seen_us  INTEGER NOT NULL,
    last_id       INTEGER NOT NULL            -- 0 after a purge
) STRICT;

-- payload has no type on purpose: TEXT where it is valid UTF-8, BLOB where it is not.
CREATE TABLE message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic_id     INTEGER NOT NULL REFERENCES topic (id),
    timestamp_us INTEGER NOT NULL,            -- time of arrival, microseconds since 1970, UTC
    qos          INTEGER NOT NULL,
    retain       INTEGER NOT NULL,
    payload      NOT NULL,
    properties   TEXT,                        -- MQTT 5 properties as JSON, or NULL
    packet_id    INTEGER                      -- MQTT packet number of the delivery, NULL at QoS 0
);
CREATE INDEX message_by_topic ON message (topic_id);

-- The last message of a topic whose rows retention has all removed.
CREATE TABLE last_value (
    topic_id     INTEGER PRIMARY KEY REFERENCES topic (id),
    id           INTEGER NOT NULL,
    timestamp_us INTEGER NOT NULL,
    qos          INTEGER NOT NULL,
    retain       INTEGER NOT NULL,
    payload      NOT NULL,
    properties   TEXT
);

-- Which ids arrived in which minute: a time becomes a range of ids without an index on time.
CREATE TABLE minute (
    minute        INTEGER PRIMARY KEY,        -- timestamp_us / 60,000,000
    first_id      INTEGER NOT NULL,
    last_id       INTEGER NOT NULL,
    message_count INTEGER NOT NULL            -- rows now
) STRICT;

-- Redeliveries recognised on the present connection whose acknowledgement may yet be lost.
CREATE TABLE redelivered (
    packet_id  INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL
) STRICT;

-- Messages shown to live readers while nothing could be stored, and lost with the process: those
-- who resume across such a place are told.
CREATE TABLE unstored (
    after_id INTEGER PRIMARY KEY,
    next_id  INTEGER NOT NULL
) STRICT;

CREATE TABLE subscription (
    topic    TEXT    PRIMARY KEY,
    qos      INTEGER NOT NULL,
    since_us INTEGER NOT NULL
) STRICT;

-- Settings whose change matters at the next start (a changed MQTT_SUBSCRIPTIONS adds filters).
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- For people: sqlite3 -readonly history.db "select * from history order by id desc limit 5"
CREATE VIEW history (id, time, topic, payload, qos, retain) AS
SELECT message.id,
       strftime('%Y-%m-%dT%H:%M:%S', timestamp_us / 1000000, 'unixepoch')
           || printf('.%06dZ', timestamp_us % 1000000),
       topic.name, payload, qos, retain
FROM message JOIN topic ON topic.id = message.topic_id;
