-- Layouts name a subject's photos by number: one that was given stays, whatever is deleted.
alter table subjects add column next_photo integer not null default 0;
alter table photos add column number integer not null default 0;
alter table run_photos add column number integer not null default 0;
-- Until now they were counted.
update photos set number = (select count(*) from photos older
    where older.project = photos.project and older.subject = photos.subject and older.id < photos.id);
update run_photos set number = (select count(*) from run_photos older
    where older.run = run_photos.run and older.subject = run_photos.subject and older.position < run_photos.position);
update subjects set next_photo = max(
    (select count(*) from photos where photos.project = subjects.project and photos.subject = subjects.id),
    (select coalesce(max(run_photos.number) + 1, 0) from run_photos join runs on runs.id = run_photos.run
        where runs.project = subjects.project and run_photos.subject = subjects.id));
create unique index photo_numbers on photos (project, subject, number);
