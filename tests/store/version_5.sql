-- A store as version 5 wrote it, as text; made with that version's own code.
BEGIN TRANSACTION;
CREATE TABLE approvals (id TEXT PRIMARY KEY, response_id TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "approvals" VALUES('alice:mcpr_1','resp_alice_1');
INSERT INTO "approvals" VALUES('mcpr_1','resp_own_1');
CREATE TABLE containers (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, backend TEXT NOT NULL, created_at REAL NOT NULL,
        last_active_at REAL NOT NULL, expires_after INTEGER NOT NULL, status TEXT NOT NULL, memory_limit TEXT
    , tenant TEXT NOT NULL DEFAULT '');
INSERT INTO "containers" VALUES('cntr_own','n','docker',1.5,2.5,20,'running','1g','');
INSERT INTO "containers" VALUES('cntr_alice','n','docker',1.5,2.5,20,'running','1g','alice');
CREATE TABLE conversation_items (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
        id TEXT NOT NULL, item TEXT NOT NULL, stopped INTEGER NOT NULL DEFAULT 0,
        UNIQUE (conversation_id, id)
    );
INSERT INTO "conversation_items" VALUES(1,'conv_own','msg_in_own_2','{"id": "msg_in_own_2", "type": "message", "role": "user", "content": "hi"}',0);
INSERT INTO "conversation_items" VALUES(2,'conv_own','msg_out_own_2','{"id": "msg_out_own_2", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "\u00e9", "annotations": []}]}',0);
INSERT INTO "conversation_items" VALUES(3,'conv_alice','msg_in_alice_2','{"id": "msg_in_alice_2", "type": "message", "role": "user", "content": "hi"}',0);
INSERT INTO "conversation_items" VALUES(4,'conv_alice','msg_out_alice_2','{"id": "msg_out_alice_2", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "\u00e9", "annotations": []}]}',0);
CREATE TABLE conversations (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, metadata TEXT NOT NULL, container_id TEXT
    , tenant TEXT NOT NULL DEFAULT '');
INSERT INTO "conversations" VALUES('conv_own',1.5,'{"topic": "own"}','cntr_own','');
INSERT INTO "conversations" VALUES('conv_alice',1.5,'{"topic": "alice"}','cntr_alice','alice');
CREATE TABLE deletions (count INTEGER NOT NULL);
INSERT INTO "deletions" VALUES(0);
CREATE TABLE events (
        response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
        number INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (response_id, number)
    ) WITHOUT ROWID;
INSERT INTO "events" VALUES('resp_alice_1',0,'{"type": "response.created"}');
INSERT INTO "events" VALUES('resp_alice_2',0,'{"type": "response.created"}');
INSERT INTO "events" VALUES('resp_alice_running',0,'{"type": "response.created", "sequence_number": 0}');
INSERT INTO "events" VALUES('resp_own_1',0,'{"type": "response.created"}');
INSERT INTO "events" VALUES('resp_own_2',0,'{"type": "response.created"}');
INSERT INTO "events" VALUES('resp_own_running',0,'{"type": "response.created", "sequence_number": 0}');
CREATE TABLE files (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL,
        bytes INTEGER NOT NULL, expires_at REAL
    , tenant TEXT NOT NULL DEFAULT '');
INSERT INTO "files" VALUES('file-own',1.5,'a.txt','user_data',7,9.5,'');
INSERT INTO "files" VALUES('file-alice',1.5,'a.txt','user_data',7,9.5,'alice');
CREATE TABLE "items" (
        tenant TEXT NOT NULL, id TEXT NOT NULL,
        response_id TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE, PRIMARY KEY (id, tenant)
    ) WITHOUT ROWID;
INSERT INTO "items" VALUES('alice','msg_in_alice_1','resp_alice_1');
INSERT INTO "items" VALUES('alice','msg_out_alice_1','resp_alice_1');
INSERT INTO "items" VALUES('alice','msg_in_alice_2','resp_alice_2');
INSERT INTO "items" VALUES('alice','msg_out_alice_2','resp_alice_2');
INSERT INTO "items" VALUES('','msg_in_own_1','resp_own_1');
INSERT INTO "items" VALUES('','msg_out_own_1','resp_own_1');
INSERT INTO "items" VALUES('','msg_in_own_2','resp_own_2');
INSERT INTO "items" VALUES('','msg_out_own_2','resp_own_2');
CREATE TABLE keys (
        name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, created_at REAL NOT NULL,
        revoked_at REAL, turns INTEGER, containers INTEGER, stored_bytes INTEGER, requests_per_minute INTEGER
    );
INSERT INTO "keys" VALUES('alice','id1','hash',1.5,NULL,1,NULL,3,4);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('identity','6fcb61d01e3348ae8c760716c33191e6');
CREATE TABLE responses (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, status TEXT NOT NULL, model TEXT NOT NULL,
        previous_id TEXT, container_id TEXT,
        request TEXT NOT NULL, input TEXT NOT NULL, response TEXT NOT NULL
    , owner TEXT, conversation_id TEXT, tenant TEXT NOT NULL DEFAULT '');
INSERT INTO "responses" VALUES('resp_own_1',2.5,'completed','m',NULL,'cntr_own','{"model": "m"}','[{"id": "msg_in_own_1", "type": "message", "role": "user", "content": "hi"}]','{"id": "resp_own_1", "status": "completed", "output": [{"id": "msg_out_own_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "\u00e9", "annotations": []}]}]}',NULL,NULL,'');
INSERT INTO "responses" VALUES('resp_own_2',2.5,'completed','m','resp_own_1','cntr_own','{"model": "m"}','[{"id": "msg_in_own_2", "type": "message", "role": "user", "content": "hi"}]','{"id": "resp_own_2", "status": "completed", "output": [{"id": "msg_out_own_2", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "\u00e9", "annotations": []}]}]}',NULL,'conv_own','');
INSERT INTO "responses" VALUES('resp_own_running',2.5,'in_progress','m',NULL,'cntr_own','{"background": true, "agent_kernel.resumed": 2}','[{"id": "msg_in_own_running", "type": "message", "role": "user", "content": "hi"}]','{"output": []}','dead',NULL,'');
INSERT INTO "responses" VALUES('resp_alice_1',2.5,'completed','m',NULL,'cntr_alice','{"model": "m"}','[{"id": "msg_in_alice_1", "type": "message", "role": "user", "content": "hi"}]','{"id": "resp_alice_1", "status": "completed", "output": [{"id": "msg_out_alice_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "\u00e9", "annotations": []}]}]}',NULL,NULL,'alice');
INSERT INTO "responses" VALUES('resp_alice_2',2.5,'completed','m','resp_alice_1','cntr_alice','{"model": "m"}','[{"id": "msg_in_alice_2", "type": "message", "role": "user", "content": "hi"}]','{"id": "resp_alice_2", "status": "completed", "output": [{"id": "msg_out_alice_2", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "\u00e9", "annotations": []}]}]}',NULL,'conv_alice','alice');
INSERT INTO "responses" VALUES('resp_alice_running',2.5,'in_progress','m',NULL,'cntr_alice','{"background": true, "agent_kernel.resumed": "x"}','[{"id": "msg_in_alice_running", "type": "message", "role": "user", "content": "hi"}]','{"output": []}','dead',NULL,'alice');
CREATE TABLE skills (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE ON UPDATE CASCADE,
        name TEXT NOT NULL, description TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (container_id, name)
    ) WITHOUT ROWID;
INSERT INTO "skills" VALUES('cntr_alice','s','d','/mnt/skills/s','digest');
INSERT INTO "skills" VALUES('cntr_own','s','d','/mnt/skills/s','digest');
CREATE TABLE uploads (
        container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
        path TEXT NOT NULL, PRIMARY KEY (container_id, path)
    );
INSERT INTO "uploads" VALUES('cntr_own','/mnt/data/a');
INSERT INTO "uploads" VALUES('cntr_alice','/mnt/data/a');
CREATE INDEX responses_unfinished ON responses(owner) WHERE owner IS NOT NULL;
CREATE INDEX items_of_response ON items(response_id);
CREATE INDEX conversation_items_by_id ON conversation_items(id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('conversation_items',4);
COMMIT;
PRAGMA user_version = 5;
