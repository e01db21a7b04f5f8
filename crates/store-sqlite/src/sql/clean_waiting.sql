-- ?1 queue, ?2 before, ?3 how many
SELECT r.id, r.lane, r.priority, NULL
FROM lanes l CROSS JOIN ready r ON r.lane = l.id CROSS JOIN jobs j ON j.id = r.id
WHERE l.queue = ?1 AND j.added_at < ?2
LIMIT ?3
