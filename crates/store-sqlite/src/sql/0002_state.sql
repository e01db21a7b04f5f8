-- One number for all of the state: versions, the beginnings of logs and the stamps of appends are taken from it.
ALTER TABLE counters ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- Namespaces. Without a name: cleared, and its contents are being swept away.
CREATE TABLE state_spaces (
  id INTEGER PRIMARY KEY,
  name TEXT UNIQUE
);

-- Collections.
CREATE TABLE state_areas (
  id INTEGER PRIMARY KEY,
  space INTEGER NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (space, name)
);

-- indexes: the entries of state_index as JSON, so that the next write knows them; NULL for none.
CREATE TABLE state_documents (
  id INTEGER PRIMARY KEY,
  area INTEGER NOT NULL,
  key TEXT NOT NULL,
  version INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  expires_at INTEGER,
  indexes TEXT,
  value TEXT NOT NULL
);
CREATE UNIQUE INDEX state_documents_by_key ON state_documents (area, key);
CREATE INDEX state_documents_by_expiry ON state_documents (expires_at) WHERE expires_at IS NOT NULL;

-- value: as master_agent_store::state::encode writes it.
CREATE TABLE state_index (
  area INTEGER NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  key TEXT NOT NULL,
  document INTEGER NOT NULL,
  PRIMARY KEY (area, name, value, key)
) WITHOUT ROWID;

CREATE TABLE state_counters (
  area INTEGER NOT NULL,
  key TEXT NOT NULL,
  sum INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (area, key)
) WITHOUT ROWID;
CREATE INDEX state_counters_by_expiry ON state_counters (expires_at) WHERE expires_at IS NOT NULL;

-- Without a space: forgotten, and its entries are being swept away. stamp: the revision of the newest append.
CREATE TABLE state_logs (
  id INTEGER PRIMARY KEY,
  space INTEGER,
  name TEXT NOT NULL,
  begin_no INTEGER NOT NULL,
  first_no INTEGER NOT NULL,
  last_no INTEGER NOT NULL,
  stamp INTEGER NOT NULL,
  expires_at INTEGER
);
CREATE UNIQUE INDEX state_logs_by_name ON state_logs (space, name) WHERE space IS NOT NULL;
CREATE INDEX state_logs_by_stamp ON state_logs (stamp);
CREATE INDEX state_logs_by_expiry ON state_logs (expires_at) WHERE expires_at IS NOT NULL;

-- A table with rowids: entries may be long, and would make a tree of keys deep.
CREATE TABLE state_entries (
  id INTEGER PRIMARY KEY,
  log INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  entry TEXT NOT NULL
);
CREATE UNIQUE INDEX state_entries_by_number ON state_entries (log, number);
