-- ?1 lane, ?2 and ?3 the place before the page, ?4 how many
SELECT priority, id, id FROM ready
WHERE lane = ?1 AND (priority, id) > (?2, ?3)
ORDER BY priority, id
LIMIT ?4
