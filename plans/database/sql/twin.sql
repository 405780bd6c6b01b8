-- :fresh, an empty database made like :old: owner, encoding, locale, settings, grants. Not its being read-only.
DROP DATABASE IF EXISTS :"fresh";
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L %s',
              :'fresh', pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
              CASE WHEN to_jsonb(d) ->> 'datlocprovider' = 'i'
                   THEN format('LOCALE_PROVIDER icu ICU_LOCALE %L',
                               coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')) END)
FROM pg_database d WHERE datname = :'old'
\gexec
-- Lists are kept quoted already, as pg_dump knows too.
SELECT format('ALTER %s SET %I TO %s',
              CASE WHEN s.setrole = 0 THEN format('DATABASE %I', :'fresh')
                   ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), :'fresh') END,
              split_part(c, '=', 1),
              CASE WHEN split_part(c, '=', 1) IN ('search_path', 'local_preload_libraries', 'session_preload_libraries',
                                                 'shared_preload_libraries', 'temp_tablespaces')
                   THEN coalesce(nullif(substr(c, strpos(c, '=') + 1), ''), '''''')
                   ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END)
FROM pg_db_role_setting s, unnest(s.setconfig) c
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = :'old')
  AND split_part(c, '=', 1) <> 'default_transaction_read_only'
\gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'fresh')
FROM pg_database WHERE datname = :'old' AND datacl IS NOT NULL
\gexec
SELECT format('GRANT %s ON DATABASE %I TO %s %s', a.privilege_type, :'fresh',
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
              CASE WHEN a.is_grantable THEN 'WITH GRANT OPTION' END)
FROM pg_database d, aclexplode(d.datacl) a
WHERE d.datname = :'old'
\gexec
