-- ?1 area, ?2 how many
SELECT id, area, key, indexes FROM state_documents WHERE area = ?1 LIMIT ?2
