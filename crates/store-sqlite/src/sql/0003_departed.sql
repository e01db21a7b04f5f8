-- How jobs ended that are gone, or may be soon: what those are told who wait for them in other processes. Kept for a
-- short time, see `jobs/departed.rs`. total: the bytes of all values up to and with this one.
CREATE TABLE departed (
  seq INTEGER PRIMARY KEY,
  total INTEGER NOT NULL,
  id INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  state INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  added_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER NOT NULL,
  key TEXT,
  task TEXT,
  parent TEXT,
  value TEXT
);
CREATE INDEX departed_by_id ON departed (id);
CREATE INDEX departed_by_key ON departed (queue, key) WHERE key IS NOT NULL;
