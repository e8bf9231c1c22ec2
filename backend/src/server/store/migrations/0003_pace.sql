-- Seconds that a step of the run took, for the forecast of others; null before it is done.
alter table runs add column step_seconds real;
