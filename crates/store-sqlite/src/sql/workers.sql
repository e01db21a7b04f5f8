-- ?1 queue
SELECT w.id, w.queue, w.name, w.concurrency, w.started_at, w.beat_at, w.lease_until,
       (SELECT count(*) FROM running r WHERE r.worker = w.id)
FROM workers w
WHERE w.queue = ?1
ORDER BY w.started_at, w.id
