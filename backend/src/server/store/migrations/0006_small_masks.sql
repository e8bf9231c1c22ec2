-- The mask, small, and the bounding box of what it covers: nulls where that is nothing. Masks that are there already get
-- theirs when the server starts.
alter table photos add column mask_thumbnail text;
alter table photos add column mask_x integer;
alter table photos add column mask_y integer;
alter table photos add column mask_width integer;
alter table photos add column mask_height integer;

-- Every file that some row needs.
drop view files;
create view files (project, file) as
    select project, file from photos
    union all select project, thumbnail from photos
    union all select project, mask from photos where mask is not null
    union all select project, mask_thumbnail from photos where mask_thumbnail is not null
    union all select runs.project, run_photos.file from run_photos join runs on runs.id = run_photos.run
    union all select runs.project, run_photos.mask from run_photos join runs on runs.id = run_photos.run
    union all select project, file from images
    union all select project, thumbnail from images
    union all select project, canvas from images where canvas is not null;
