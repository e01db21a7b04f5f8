-- ?1 the oldest end to keep, ?2 how many, ?3 how many bytes; the scan ends at the first row that stays
DELETE FROM departed WHERE seq < coalesce(
  (SELECT d.seq FROM departed d, (SELECT seq, total FROM departed ORDER BY seq DESC LIMIT 1) newest
   WHERE d.finished_at >= ?1 AND d.seq > newest.seq - ?2 AND d.total > newest.total - ?3
   ORDER BY d.seq LIMIT 1),
  9223372036854775807)
