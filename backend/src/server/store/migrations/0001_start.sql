-- Times are milliseconds since 1970; files are named by the SHA-256 of their bytes, in hexadecimal.

create table projects (
    id blob primary key,
    name text not null,
    created integer not null,
    version integer not null default 1
) strict, without rowid;

create table subjects (
    project blob not null references projects on delete cascade,
    id text not null,
    name text not null,
    position integer not null,
    version integer not null default 1,
    primary key (project, id)
) strict, without rowid;

create table photos (
    id blob primary key,
    project blob not null,
    subject text not null,
    name text not null,
    -- Of the bytes that were uploaded: the same file again is the same photo.
    source text not null,
    file text not null,
    thumbnail text not null,
    mask text,
    width integer not null,
    height integer not null,
    caption text not null,
    created integer not null,
    version integer not null default 1,
    foreign key (project, subject) references subjects (project, id) on delete cascade,
    unique (project, subject, source)
) strict, without rowid;

-- Recipes and layouts, as JSON.
create table documents (
    id blob primary key,
    project blob not null references projects on delete cascade,
    kind text not null,
    name text not null,
    value text not null,
    created integer not null,
    version integer not null default 1
) strict, without rowid;
create index documents_of on documents (project, kind, id);

create table jobs (
    id blob primary key,
    project blob not null references projects on delete cascade,
    kind text not null,
    state text not null,
    -- What shall become of a job that runs: run, pause or cancel.
    wanted text not null default 'run',
    run blob,
    request text not null,
    stage text not null default '',
    step integer not null default 0,
    steps integer not null default 0,
    seconds_left real,
    created integer not null,
    started integer,
    heartbeat integer,
    finished integer,
    -- When a job that waits for room on the disk is tried again.
    retry integer,
    fault_code text,
    fault_detail text
) strict, without rowid;
create index jobs_of on jobs (project, id);
create index jobs_open on jobs (state, id);

create table events (
    id integer primary key autoincrement,
    job blob not null references jobs on delete cascade,
    data text not null
) strict;
create index events_of on events (job, id);

create table runs (
    id blob primary key,
    project blob not null references projects on delete cascade,
    job blob not null references jobs on delete cascade,
    name text not null,
    base text not null,
    recipe text not null,
    created integer not null
) strict, without rowid;
create index runs_of on runs (project, id);

-- What a run trains on: a copy of the project's rows when the run was made. The files themselves never change.
create table run_photos (
    run blob not null references runs on delete cascade,
    position integer not null,
    subject text not null,
    subject_name text not null,
    file text not null,
    mask text not null,
    caption text not null,
    primary key (run, position)
) strict, without rowid;

create table images (
    id blob primary key,
    project blob not null references projects on delete cascade,
    job blob not null references jobs on delete cascade,
    run blob references runs on delete set null,
    number integer not null,
    file text not null,
    thumbnail text not null,
    canvas text,
    width integer not null,
    height integer not null,
    seed integer not null,
    parameters text not null,
    created integer not null,
    unique (job, number)
) strict, without rowid;
create index images_of on images (project, id);

-- Every file that some row needs.
create view files (project, file) as
    select project, file from photos
    union all select project, thumbnail from photos
    union all select project, mask from photos where mask is not null
    union all select runs.project, run_photos.file from run_photos join runs on runs.id = run_photos.run
    union all select runs.project, run_photos.mask from run_photos join runs on runs.id = run_photos.run
    union all select project, file from images
    union all select project, thumbnail from images
    union all select project, canvas from images where canvas is not null;

create table links (
    id blob primary key,
    project blob not null references projects on delete cascade,
    access text not null,
    label text not null,
    -- SHA-256 of the secret, which is not kept.
    secret blob not null unique,
    created integer not null,
    expires integer
) strict, without rowid;
create index links_of on links (project, id);

create table sessions (
    -- SHA-256 of the cookie's token, which is not kept.
    token blob primary key,
    owner integer not null,
    expires integer not null
) strict, without rowid;

create table session_links (
    session blob not null references sessions on delete cascade,
    link blob not null references links on delete cascade,
    primary key (session, link)
) strict, without rowid;

-- One row at most: the owner's password, hashed by Argon2id.
create table owner (
    id integer primary key check (id = 1),
    password text not null
) strict;
