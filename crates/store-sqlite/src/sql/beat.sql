-- ?1 worker, ?2 queue, ?3 name, ?4 peer, ?5 concurrency, ?6 started_at, ?7 now, ?8 lease_until
INSERT INTO workers (id, queue, name, peer, concurrency, started_at, beat_at, lease_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (id) DO UPDATE SET
  name = iif(?3 = '', name, ?3),
  peer = ?4,
  concurrency = iif(?5 = 0, concurrency, ?5),
  started_at = iif(?3 = '', started_at, ?6),
  beat_at = ?7,
  lease_until = ?8
