-- One row of numbers that only grow. Read and written once per transaction.
CREATE TABLE counters (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  job INTEGER NOT NULL,
  token INTEGER NOT NULL,
  ended INTEGER NOT NULL
);
INSERT INTO counters VALUES (1, 0, 0, 0);

CREATE TABLE queues (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE lanes (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (queue, name)
);

-- What does not change when a job is claimed or ends, so that neither rewrites the payload.
-- Where a job is, is told by the one table among ready, delayed, running and ended that has its id.
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  added_at INTEGER NOT NULL,
  run_at INTEGER,
  failures INTEGER NOT NULL DEFAULT 0,
  stalls INTEGER NOT NULL DEFAULT 0,
  key TEXT,
  task TEXT,
  parent TEXT,
  policy TEXT,
  error TEXT,
  progress TEXT,
  meta TEXT,
  data TEXT NOT NULL
);
CREATE UNIQUE INDEX jobs_by_key ON jobs (queue, key) WHERE key IS NOT NULL;

CREATE TABLE ready (
  lane INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (lane, priority, id)
) WITHOUT ROWID;

CREATE TABLE delayed (
  run_at INTEGER NOT NULL,
  id INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  PRIMARY KEY (run_at, id)
) WITHOUT ROWID;

-- As many rows as there are running handlers: scans of it are cheap.
CREATE TABLE running (
  id INTEGER PRIMARY KEY,
  token INTEGER NOT NULL,
  worker INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  cancel TEXT
);

-- kind: 0 completed, 1 the failed family (state tells which). seq: order of ending.
CREATE TABLE ended (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  state INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER NOT NULL,
  value TEXT
);
CREATE UNIQUE INDEX ended_in_order ON ended (queue, kind, seq);

CREATE TABLE counts (
  lane INTEGER NOT NULL,
  state INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (lane, state)
) WITHOUT ROWID;

CREATE TABLE ended_counts (
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (queue, kind)
) WITHOUT ROWID;

CREATE TABLE logs (
  job INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  line TEXT NOT NULL,
  PRIMARY KEY (job, seq)
) WITHOUT ROWID;

CREATE TABLE workers (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  name TEXT NOT NULL,
  peer TEXT NOT NULL,
  concurrency INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  beat_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL
);

-- Which processes listen to the events of which queue, and the newest events for them.
CREATE TABLE listeners (
  peer TEXT NOT NULL,
  queue TEXT NOT NULL,
  PRIMARY KEY (peer, queue)
) WITHOUT ROWID;

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL,
  peer TEXT NOT NULL,
  body TEXT NOT NULL
);
