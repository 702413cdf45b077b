-- Roles, rights and the database: run by the superuser at each start, before anyone else can connect. Repeating it
-- changes nothing; a password or a limit that was changed outside is put back.
\set ON_ERROR_STOP on
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv app_password POSTGRES_APP_PASSWORD
\getenv exporter_password POSTGRES_EXPORTER_PASSWORD
\getenv app_connection_limit POSTGRES_APP_CONNECTION_LIMIT

-- No password in a log or in the statement statistics, whatever fails below.
SET log_statement = none;
SET log_min_error_statement = panic;
SET log_min_duration_statement = -1;
SET pg_stat_statements.track = none;
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['catalog_owner', 'catalog_app', 'trimtab_exporter']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- Migrations and seeding.
ALTER ROLE catalog_owner WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  CONNECTION LIMIT 4 PASSWORD :'owner_password';
-- The application behind the pooler. Its limit is the fence of the connection budget: PostgreSQL itself refuses
-- what would go beyond it.
ALTER ROLE catalog_app WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  CONNECTION LIMIT :app_connection_limit PASSWORD :'app_password';
ALTER ROLE trimtab_exporter WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  CONNECTION LIMIT 2 PASSWORD :'exporter_password';
GRANT pg_monitor TO trimtab_exporter;
ALTER ROLE trimtab_exporter SET statement_timeout = '4s';

SELECT 'CREATE DATABASE catalog OWNER catalog_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'catalog')
\gexec
ALTER DATABASE catalog OWNER TO catalog_owner;
REVOKE ALL ON DATABASE catalog FROM PUBLIC;
GRANT CONNECT ON DATABASE catalog TO catalog_app, trimtab_exporter;

\connect catalog
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
ALTER SCHEMA public OWNER TO catalog_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO catalog_app, trimtab_exporter;
-- What the migrations will create belongs to the owner; the application may use its rows, not its shape.
ALTER DEFAULT PRIVILEGES FOR ROLE catalog_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO catalog_app;
ALTER DEFAULT PRIVILEGES FOR ROLE catalog_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO catalog_app;
