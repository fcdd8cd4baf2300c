-- A database of schema version 2, written down by `.dump`: that of version 1 after the next step.
-- Never changed: tests/store/test_upgrade.py opens it with every later release.
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN TRANSACTION;
CREATE TABLE last_value (
    topic_id     INTEGER PRIMARY KEY REFERENCES topic (id),
    id           INTEGER NOT NULL,
    timestamp_us INTEGER NOT NULL,
    qos          INTEGER NOT NULL,
    retain       INTEGER NOT NULL,
    payload      NOT NULL,
    properties   TEXT
);
INSERT INTO "last_value" VALUES(1,28,1767225627000000,1,0,'22.7',NULL);
INSERT INTO "last_value" VALUES(2,29,1767225628000000,0,0,'22.8',NULL);
INSERT INTO "last_value" VALUES(3,30,1767225629000000,1,0,'22.9',NULL);
INSERT INTO "last_value" VALUES(4,31,1767225631000000,0,0,X'FF00FE',NULL);
INSERT INTO "last_value" VALUES(5,32,1767225632000000,1,1,'running',NULL);
INSERT INTO "last_value" VALUES(6,33,1767225633000000,1,0,'{"value": 1.5, "unit": "kW"}','{"content_type":"application/json","user_properties":[["a","b"]]}');
INSERT INTO "last_value" VALUES(7,34,1767225634000000,0,0,'später; "quoted"
',NULL);
INSERT INTO "last_value" VALUES(8,35,1767225635000000,0,0,'kept as last value',NULL);
CREATE TABLE log (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch        TEXT    NOT NULL,           -- made with the file; a position is <epoch>.<id>
    created_us   INTEGER NOT NULL,
    reserved_id  INTEGER NOT NULL DEFAULT 0, -- no id above this one was ever given out
    pruned_id    INTEGER NOT NULL DEFAULT 0, -- retention has removed everything up to here
    closed_clean INTEGER NOT NULL DEFAULT 1, -- 0 while a process has the file open
    window_id    INTEGER NOT NULL DEFAULT 0  -- rows from here on may be redelivered by the broker
, lost_id INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "log" VALUES(1,'d618a10',1767225600000000,81,41,1,0,41);
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
INSERT INTO "message" VALUES(42,10,1767225646000000,1,0,'6',NULL,106);
INSERT INTO "message" VALUES(43,11,1767225647000000,1,0,'7',NULL,107);
INSERT INTO "message" VALUES(44,12,1767225648000000,1,0,'8',NULL,108);
INSERT INTO "message" VALUES(45,13,1767225649000000,1,0,'9',NULL,109);
INSERT INTO "message" VALUES(47,10,1767225651000000,1,0,'11',NULL,111);
INSERT INTO "message" VALUES(48,11,1767225652000000,1,0,'12',NULL,112);
INSERT INTO "message" VALUES(49,12,1767225653000000,1,0,'13',NULL,113);
INSERT INTO "message" VALUES(50,13,1767225654000000,1,0,'14',NULL,114);
INSERT INTO "message" VALUES(52,10,1767225656000000,1,0,'16',NULL,116);
INSERT INTO "message" VALUES(53,11,1767225657000000,1,0,'17',NULL,117);
INSERT INTO "message" VALUES(54,12,1767225658000000,1,0,'18',NULL,118);
INSERT INTO "message" VALUES(55,13,1767225659000000,1,0,'19',NULL,119);
INSERT INTO "message" VALUES(57,10,1767225661000000,1,0,'21',NULL,121);
INSERT INTO "message" VALUES(58,11,1767225662000000,1,0,'22',NULL,122);
INSERT INTO "message" VALUES(59,12,1767225663000000,1,0,'23',NULL,123);
INSERT INTO "message" VALUES(60,13,1767225664000000,1,0,'24',NULL,124);
INSERT INTO "message" VALUES(62,10,1767225666000000,1,0,'26',NULL,126);
INSERT INTO "message" VALUES(63,11,1767225667000000,1,0,'27',NULL,127);
INSERT INTO "message" VALUES(64,12,1767225668000000,1,0,'28',NULL,128);
INSERT INTO "message" VALUES(65,13,1767225669000000,1,0,'29',NULL,129);
INSERT INTO "message" VALUES(67,10,1767225671000000,1,0,'31',NULL,131);
INSERT INTO "message" VALUES(68,11,1767225672000000,1,0,'32',NULL,132);
INSERT INTO "message" VALUES(69,12,1767225673000000,1,0,'33',NULL,133);
INSERT INTO "message" VALUES(70,13,1767225674000000,1,0,'34',NULL,134);
INSERT INTO "message" VALUES(72,10,1767225676000000,1,0,'36',NULL,136);
INSERT INTO "message" VALUES(73,11,1767225677000000,1,0,'37',NULL,137);
INSERT INTO "message" VALUES(74,12,1767225678000000,1,0,'38',NULL,138);
INSERT INTO "message" VALUES(75,13,1767225679000000,1,0,'39',NULL,139);
INSERT INTO "message" VALUES(77,10,1767225681000000,1,0,'41',NULL,141);
INSERT INTO "message" VALUES(78,11,1767225682000000,1,0,'42',NULL,142);
INSERT INTO "message" VALUES(79,12,1767225683000000,1,0,'43',NULL,143);
INSERT INTO "message" VALUES(80,13,1767225684000000,1,0,'44',NULL,144);
INSERT INTO "message" VALUES(81,5,1767225699000000,1,0,'stopped',NULL,200);
CREATE TABLE minute (
    minute        INTEGER PRIMARY KEY,        -- timestamp_us / 60,000,000
    first_id      INTEGER NOT NULL,
    last_id       INTEGER NOT NULL,
    message_count INTEGER NOT NULL            -- rows now
) STRICT;
INSERT INTO "minute" VALUES(29453760,1,55,12);
INSERT INTO "minute" VALUES(29453761,56,81,21);
CREATE TABLE redelivered (
    packet_id  INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL
) STRICT;
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO "setting" VALUES('MQTT_SUBSCRIPTIONS','#');
CREATE TABLE subscription (
    topic    TEXT    PRIMARY KEY,
    qos      INTEGER NOT NULL,
    since_us INTEGER NOT NULL
) STRICT;
INSERT INTO "subscription" VALUES('factory/#',1,1767225600000000);
CREATE TABLE topic (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    message_count INTEGER NOT NULL DEFAULT 0, -- rows now, kept in the inserting transaction
    first_seen_us INTEGER NOT NULL,
    last_seen_us  INTEGER NOT NULL,
    last_id       INTEGER NOT NULL            -- 0 after a purge
, pruned_id INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "topic" VALUES(1,'factory/line0/temperature',0,1767225600000000,1767225627000000,28,0);
INSERT INTO "topic" VALUES(2,'factory/line1/temperature',0,1767225601000000,1767225628000000,29,0);
INSERT INTO "topic" VALUES(3,'factory/line2/temperature',0,1767225602000000,1767225629000000,30,0);
INSERT INTO "topic" VALUES(4,'raw/bytes',0,1767225631000000,1767225631000000,31,0);
INSERT INTO "topic" VALUES(5,'state/press1',1,1767225632000000,1767225699000000,81,0);
INSERT INTO "topic" VALUES(6,'typed/json',0,1767225633000000,1767225633000000,33,0);
INSERT INTO "topic" VALUES(7,'grüße/ö',0,1767225634000000,1767225634000000,34,0);
INSERT INTO "topic" VALUES(8,'once/only',0,1767225635000000,1767225635000000,35,0);
INSERT INTO "topic" VALUES(9,'busy/0',0,1767225640000000,1767225680000000,0,0);
INSERT INTO "topic" VALUES(10,'busy/1',8,1767225641000000,1767225681000000,77,0);
INSERT INTO "topic" VALUES(11,'busy/2',8,1767225642000000,1767225682000000,78,0);
INSERT INTO "topic" VALUES(12,'busy/3',8,1767225643000000,1767225683000000,79,0);
INSERT INTO "topic" VALUES(13,'busy/4',8,1767225644000000,1767225684000000,80,0);
CREATE TABLE unstored (
    after_id INTEGER PRIMARY KEY,
    next_id  INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_topic ON message (topic_id);
CREATE VIEW history (id, time, topic, payload, qos, retain) AS
SELECT message.id,
       strftime('%Y-%m-%dT%H:%M:%S', timestamp_us / 1000000, 'unixepoch')
           || printf('.%06dZ', timestamp_us % 1000000),
       topic.name, payload, qos, retain
FROM message JOIN topic ON topic.id = message.topic_id;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('message',81);
COMMIT;
PRAGMA user_version = 2;
