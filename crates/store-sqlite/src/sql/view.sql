-- ?1 id, ?2 queue
SELECT j.lane, j.priority, j.added_at, j.run_at, j.failures, j.stalls, j.key, j.task, j.parent, j.policy, j.progress, j.meta, j.data,
       e.state, e.started_at, e.finished_at, e.value, r.claimed_at, j.error, r.worker
FROM jobs j LEFT JOIN ended e ON e.id = j.id LEFT JOIN running r ON r.id = j.id
WHERE j.id = ?1 AND j.queue = ?2
