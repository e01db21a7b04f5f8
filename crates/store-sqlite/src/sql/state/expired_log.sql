-- ?1 now: the log that expired first; forgotten ones expired at 0
SELECT id, first_no, last_no FROM state_logs WHERE expires_at <= ?1 ORDER BY expires_at LIMIT 1
