-- ?1 now, ?2 how many
DELETE FROM state_counters WHERE (area, key) IN (
  SELECT area, key FROM state_counters WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
)
