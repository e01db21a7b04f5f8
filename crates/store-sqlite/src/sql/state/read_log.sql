-- ?1 log, ?2 the number before the page, ?3 how many
SELECT number, at, entry FROM state_entries WHERE log = ?1 AND number > ?2 ORDER BY number LIMIT ?3
