-- ?1 area, ?2 how many
DELETE FROM state_counters WHERE area = ?1 AND key IN (
  SELECT key FROM state_counters WHERE area = ?1 LIMIT ?2
)
