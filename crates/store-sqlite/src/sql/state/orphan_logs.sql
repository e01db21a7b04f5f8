-- ?1 space, ?2 how many: forgets logs of a cleared namespace
UPDATE state_logs SET space = NULL, expires_at = 0
WHERE id IN (SELECT id FROM state_logs WHERE space = ?1 LIMIT ?2)
