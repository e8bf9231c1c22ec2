-- In which stage a job was when the server was killed at it: each stage counts its steps from 0.
alter table jobs add column crashed_stage text not null default '';
