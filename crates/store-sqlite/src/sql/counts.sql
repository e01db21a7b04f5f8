-- ?1 queue
SELECT l.name, c.state, c.n
FROM lanes l CROSS JOIN counts c ON c.lane = l.id
WHERE l.queue = ?1 AND c.n > 0
ORDER BY l.name, c.state
