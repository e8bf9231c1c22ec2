-- How often in a row the server was killed at a job that got no further meanwhile, and how far it was then.
alter table jobs add column crashes integer not null default 0;
alter table jobs add column crashed_at integer not null default 0;
-- How many pictures a job has made, those included that were deleted since.
alter table jobs add column made integer not null default 0;
update jobs set made = coalesce((select max(number) + 1 from images where job = jobs.id), 0);
