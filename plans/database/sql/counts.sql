-- The rows of each table: of those that :tables names (NAME or SCHEMA.NAME, blanks between), else of all.
SELECT format('SELECT %L, count(*) FROM %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND c.relpersistence = 'p'
  AND n.nspname <> 'information_schema'
  AND n.nspname !~ '^pg_'
  AND (:'tables' = ''
       OR c.relname = ANY (string_to_array(:'tables', ' '))
       OR n.nspname || '.' || c.relname = ANY (string_to_array(:'tables', ' ')))
ORDER BY n.nspname, c.relname
\gexec
