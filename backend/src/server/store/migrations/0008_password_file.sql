-- The hash of the password that was last taken from the password file: only another one there is set again.
alter table owner add column from_file text;
