-- ?1 log, ?2 first_no, ?3 how many are looked at, ?4 time: the first number that stays because of its time
SELECT number FROM state_entries
WHERE log = ?1 AND number >= ?2 AND number < ?2 + ?3 AND at >= ?4
ORDER BY number
LIMIT 1
