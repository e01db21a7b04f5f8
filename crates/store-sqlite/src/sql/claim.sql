-- ?1 lane, ?2 how many. CROSS keeps the order of the join: the head of the lane first, then each job by its id.
SELECT j.id, r.priority, j.added_at, j.failures, j.stalls, j.key, j.task, j.parent, j.policy, j.meta, j.data
FROM ready r CROSS JOIN jobs j ON j.id = r.id
WHERE r.lane = ?1
ORDER BY r.priority, r.id
LIMIT ?2
