//! Rows in cases that requests meet seldom: a process that was killed, a disk without room, two at once.

use std::cell::Cell;
use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma};
use mudi_domain::api::{Access, Job, JobEvent, JobFault, JobKind, JobState};
use mudi_domain::geometry::Rect;
use mudi_domain::subject::{Subject, SubjectId};
use tempfile::TempDir;

use super::*;

/// A store, a project of it, and a job of the project.
async fn opened(kind: JobKind) -> (TempDir, Store, Uuid, Uuid) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let project = store.create_project("Toys").await.unwrap().id;
    let job = store.create_job(project, kind, None, "{}").await.unwrap().id;
    (folder, store, project, job)
}

/// A worker takes the job, gets to `step`, and is killed with its process.
async fn killed_at(store: &Store, project: Uuid, job: Uuid, step: u64) -> Job {
    assert_eq!(store.claim().await.unwrap().map(|claim| claim.id), Some(job));
    store.progress(job, "masks", 0, 9, None).await.unwrap();
    store.progress(job, "masks", step, 9, None).await.unwrap();
    store.recover().await.unwrap();
    store.job(project, job).await.unwrap()
}

/// What the job's last event says.
async fn last_event(store: &Store, job: Uuid) -> String {
    store.events(job, 0, 100).await.unwrap().pop().unwrap().data
}

#[tokio::test]
async fn a_job_that_kills_the_process_is_given_up() {
    let (_folder, store, project, job) = opened(JobKind::Train).await;
    for _ in 0..2 {
        for state in [JobState::Queued, JobState::Queued] {
            assert_eq!(killed_at(&store, project, job, 2).await.state, state);
            assert!(last_event(&store, job).await.contains("queued"));
        }
        let failed = killed_at(&store, project, job, 2).await;
        assert_eq!(failed.state, JobState::Failed);
        assert!(failed.finished.is_some());
        let fault = failed.fault.unwrap();
        assert!(fault.code == "crashed" && fault.detail.contains("memory"), "{}", fault.detail);
        let event = last_event(&store, job).await;
        assert!(event.contains("failed") && event.contains("crashed"), "{event}");
        assert!(store.claim().await.unwrap().is_none());
        // By hand it begins anew, with as many tries.
        let (resumed, event) = store.resume(project, job).await.unwrap();
        assert!(resumed.state == JobState::Queued && resumed.fault.is_none() && event.is_some());
    }
}

#[tokio::test]
async fn a_job_that_gets_further_each_time_goes_on() {
    let (_folder, store, project, job) = opened(JobKind::Segment).await;
    for step in 1..8 {
        assert_eq!(killed_at(&store, project, job, step).await.state, JobState::Queued);
    }
    assert_eq!(killed_at(&store, project, job, 3).await.state, JobState::Queued);
    // An orderly end is no crash.
    assert!(store.claim().await.unwrap().is_some());
    store.settle(job, |_| (JobState::Queued, None)).await.unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(killed_at(&store, project, job, 3).await.state, JobState::Queued);
    }
}

#[tokio::test]
async fn a_later_stage_is_further_whatever_its_steps() {
    let (_folder, store, project, job) = opened(JobKind::Train).await;
    // Prior images first, of which there are more than the steps that the training gets to.
    let stages = [("prior images", 150), ("training", 20), ("training", 60), ("training", 90)];
    for (stage, step) in stages {
        store.claim().await.unwrap().unwrap();
        store.progress(job, stage, step, 400, None).await.unwrap();
        store.recover().await.unwrap();
        assert_eq!(store.job(project, job).await.unwrap().state, JobState::Queued, "{stage} {step}");
    }
    for state in [JobState::Queued, JobState::Failed] {
        store.claim().await.unwrap().unwrap();
        store.progress(job, "training", 90, 400, None).await.unwrap();
        store.recover().await.unwrap();
        assert_eq!(store.job(project, job).await.unwrap().state, state);
    }
}

#[tokio::test]
async fn a_transaction_that_sqlite_has_ended_hurts_no_later_one() {
    let (_folder, store, project, job) = opened(JobKind::Segment).await;
    let mut changes = store.begin().await.unwrap();
    // As SQLite does by itself where a commit finds no room.
    sqlx::query("rollback").execute(&mut *changes).await.unwrap();
    assert!(changes.commit().await.is_err());
    assert_eq!(store.halt(project, job, Wanted::Pause).await.unwrap().0.state, JobState::Paused);
}

#[tokio::test]
async fn a_halted_job_does_not_wait_for_room() {
    for (wanted, state) in [(Wanted::Pause, JobState::Paused), (Wanted::Cancel, JobState::Cancelled)] {
        let (_folder, store, project, job) = opened(JobKind::Train).await;
        store.claim().await.unwrap().unwrap();
        let fault = JobFault { code: "disk_full".to_owned(), detail: "full".to_owned() };
        store.settle(job, |_| (JobState::Waiting, Some(fault.clone()))).await.unwrap().unwrap();
        assert_eq!(store.job(project, job).await.unwrap().fault, Some(fault));
        let (halted, _) = store.halt(project, job, wanted).await.unwrap();
        assert_eq!((halted.state, halted.fault), (state, None));
    }
}

#[tokio::test]
async fn a_change_tells_what_it_has_made() {
    let (_folder, store, project, _) = opened(JobKind::Segment).await;
    let renamed = store.rename_project(project, Some(1), "Bears", Access::Editor).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.version, renamed.access), ("Bears", 2, Access::Editor));
    let again = store.rename_project(project, Some(1), "Cats", Access::Owner).await;
    assert!(matches!(again, Err(StoreError::Stale(_))));
    let gone = store.rename_project(new_id(), None, "Cats", Access::Owner).await;
    assert!(matches!(gone, Err(StoreError::Missing(_))));
}

#[tokio::test]
async fn what_was_wanted_of_a_job_when_the_process_was_killed_is_done() {
    for (wanted, state) in [(Wanted::Pause, JobState::Paused), (Wanted::Cancel, JobState::Cancelled)] {
        let (_folder, store, project, job) = opened(JobKind::Segment).await;
        store.claim().await.unwrap().unwrap();
        let (running, event) = store.halt(project, job, wanted).await.unwrap();
        assert!(running.state == JobState::Running && event.is_none());
        store.recover().await.unwrap();
        let halted = store.job(project, job).await.unwrap();
        assert_eq!((halted.state, halted.finished.is_some()), (state, state.is_over()));
        assert!(last_event(&store, job).await.contains(state.word()));
    }
}

#[tokio::test]
async fn a_change_of_state_is_told_once() {
    let (_folder, store, project, job) = opened(JobKind::Segment).await;
    let events = async || store.events(job, 0, 100).await.unwrap().len();
    assert!(store.halt(project, job, Wanted::Pause).await.unwrap().1.is_some());
    assert!(store.halt(project, job, Wanted::Pause).await.unwrap().1.is_none());
    assert_eq!(events().await, 1);
    assert!(store.resume(project, job).await.unwrap().1.is_some());
    assert!(store.resume(project, job).await.unwrap().1.is_none());
    store.halt(project, job, Wanted::Cancel).await.unwrap();
    assert!(matches!(store.resume(project, job).await, Err(StoreError::Conflict(_))));
    assert_eq!(events().await, 3);
}

#[tokio::test]
async fn of_the_reports_the_newest_stay() {
    let (_folder, store, project, job) = opened(JobKind::Train).await;
    let other = store.create_job(project, JobKind::Train, None, "{}").await.unwrap().id;
    let report = |step| JobEvent::Progress {
        stage: "training".to_owned(),
        step,
        steps: 300,
        loss: Some(0.5),
        seconds_left: None,
    };
    store.halt(project, job, Wanted::Pause).await.unwrap();
    for step in 0..300 {
        store.add_event(job, &report(step)).await.unwrap();
    }
    store.add_event(other, &report(1)).await.unwrap();
    let left = async |job| store.events(job, 0, 1000).await.unwrap();
    store.forget_progress(job).await.unwrap();
    store.forget_progress(job).await.unwrap();
    let rows = left(job).await;
    assert_eq!(rows.len(), 257);
    assert!(rows[0].data.contains("paused") && rows[1].data.contains("\"step\":44,"), "{}", rows[1].data);
    store.forget_progress(other).await.unwrap();
    assert_eq!(left(other).await.len(), 1);
}

fn pictures(numbers: std::ops::Range<u32>) -> Vec<NewImage> {
    let picture = |number| NewImage {
        number,
        file: format!("{number}.png"),
        thumbnail: format!("{number}.jpg"),
        canvas: None,
        size: (8, 8),
        seed: 0,
        parameters: "{}".to_owned(),
    };
    numbers.map(picture).collect()
}

#[tokio::test]
async fn a_picture_that_was_deleted_stays_made() {
    let (_folder, store, project, job) = opened(JobKind::Generate).await;
    let all = Range { after: Uuid::nil(), limit: 100 };
    let images = async || store.images(project, Some(job), false, all).await.unwrap().items;
    assert_eq!(store.images_made(job).await.unwrap(), 0);
    assert_eq!(store.add_images(project, job, None, &pictures(0..4)).await.unwrap().len(), 4);
    for image in images().await {
        if image.number != 1 {
            store.delete_image(project, image.id).await.unwrap();
        }
    }
    assert_eq!(store.images_made(job).await.unwrap(), 4);
    assert!(store.add_images(project, job, None, &pictures(0..4)).await.unwrap().is_empty());
    assert_eq!(store.add_images(project, job, None, &pictures(3..6)).await.unwrap().len(), 2);
    assert_eq!(images().await.iter().map(|image| image.number).collect::<Vec<_>>(), [1, 4, 5]);
    let told = store.events(job, 0, 100).await.unwrap();
    assert_eq!(told.iter().filter(|row| row.data.contains("image")).count(), 6);
    assert_eq!(store.images_made(new_id()).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_made_with_a_run_that_is_gone() {
    let (_folder, store, project, _) = opened(JobKind::Segment).await;
    let made = store.create_job(project, JobKind::Generate, Some(new_id()), "{}").await;
    assert!(matches!(made, Err(StoreError::Missing("run"))));
}

#[tokio::test]
async fn on_a_full_disk_there_is_room_for_a_deletion() {
    let (folder, store, ..) = opened(JobKind::Segment).await;
    let reserve = folder.path().join("reserve");
    let room = || reserve.metadata().map_or(0, |found| found.len());
    assert_eq!(room(), 8 << 20);
    let tries = Cell::new(0);
    // As if every write failed while the reserve is there.
    let change = || async {
        tries.set(tries.get() + 1);
        if room() > 0 { Err(StoreError::Full) } else { Ok(tries.get()) }
    };
    assert_eq!(store.with_room(change).await.unwrap(), 2);
    assert_eq!(room(), 0);
    store.keep_room().await;
    assert_eq!(room(), 8 << 20);

    // Where that does not help it is said, and other faults leave the reserve alone.
    tries.set(0);
    let full = || async {
        tries.set(tries.get() + 1);
        Err::<(), _>(StoreError::Full)
    };
    assert!(matches!(store.with_room(full).await, Err(StoreError::Full)));
    assert!(matches!(store.with_room(full).await, Err(StoreError::Full)));
    assert_eq!(tries.get(), 3);
    store.keep_room().await;
    let missing = || async { Err::<(), _>(StoreError::Missing("photo")) };
    assert!(matches!(store.with_room(missing).await, Err(StoreError::Missing(_))));
    assert_eq!(room(), 8 << 20);
}

#[tokio::test]
async fn files_that_get_no_row_are_removed_at_once() {
    let (_folder, store, project, job) = opened(JobKind::Generate).await;
    let keeping = store.keeping(project).await.unwrap();
    let named = keeping.put("named", "png").await.unwrap();
    let lost = keeping.put("lost", "png").await.unwrap();
    let mut images = pictures(0..1);
    named.clone_into(&mut images[0].file);
    store.add_images(project, job, None, &images).await.unwrap();
    keeping.undo().await.unwrap();
    assert!(store.blobs().read(project, &named).await.is_ok());
    assert!(matches!(store.blobs().read(project, &lost).await, Err(StoreError::Missing(_))));
}

#[tokio::test]
async fn photos_of_an_earlier_version_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join(DATABASE)).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let earlier = MIGRATIONS.iter().filter(|migration| migration.version < 5).cloned().collect();
    Migrator { migrations: std::borrow::Cow::Owned(earlier), ..Migrator::DEFAULT }.run(&pool).await.unwrap();
    let project = new_id();
    let insert = |sql: &'static str| sqlx::query(sql).bind(project);
    insert("insert into projects (id, name, created) values (?, 'Toys', 0)").execute(&pool).await.unwrap();
    for subject in ["a", "b"] {
        insert("insert into subjects (project, id, name, position) values (?, ?2, ?2 || ' bear', 1)")
            .bind(subject)
            .execute(&pool)
            .await
            .unwrap();
        for source in ["0", "1"] {
            insert(
                "insert into photos (project, subject, source, id, name, file, thumbnail, width, height, caption, created)
                 values (?, ?, ?, ?, '', 'f', 't', 1, 1, '', 0)",
            )
            .bind(subject)
            .bind(source)
            .bind(new_id())
            .execute(&pool)
            .await
            .unwrap();
        }
    }
    // A run has a photo of `b` more, which was deleted since.
    let (run, job) = (new_id(), new_id());
    insert("insert into jobs (project, id, kind, state, request, created) values (?, ?, 'train', 'done', '{}', 0)")
        .bind(job)
        .execute(&pool)
        .await
        .unwrap();
    insert(
        "insert into runs (project, id, job, name, base, recipe, created) values (?, ?, ?, '', '', '{}', 0)",
    )
    .bind(run)
    .bind(job)
    .execute(&pool)
    .await
    .unwrap();
    for (position, subject) in (0_i64..).zip(["a", "a", "b", "b", "b"]) {
        sqlx::query("insert into run_photos values (?, ?, ?, '', 'f', 'm', '')")
            .bind(run)
            .bind(position)
            .bind(subject)
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    let numbers = |rows: Vec<(String, u32)>| rows.into_iter().map(|(_, number)| number).collect::<Vec<_>>();
    let photos = sqlx::query_as("select subject, number from photos order by subject, id");
    assert_eq!(numbers(photos.fetch_all(&store.readers).await.unwrap()), [0, 1, 0, 1]);
    let of_run = sqlx::query_as("select subject, number from run_photos order by position");
    assert_eq!(numbers(of_run.fetch_all(&store.readers).await.unwrap()), [0, 1, 0, 1, 2]);
    let next = sqlx::query_as("select id, next_photo from subjects order by id");
    assert_eq!(numbers(next.fetch_all(&store.readers).await.unwrap()), [2, 3]);
}

#[tokio::test]
async fn masks_of_an_earlier_version_get_their_small_ones() {
    let (_folder, store, project, _) = opened(JobKind::Segment).await;
    let subject = Subject::new(SubjectId::new("a").unwrap(), "olis bear").unwrap();
    store.create_subject(project, &subject).await.unwrap();
    let keeping = store.keeping(project).await.unwrap();
    let mut drawn = GrayImage::new(500, 20);
    drawn.put_pixel(7, 3, Luma([255]));
    let mut png = Cursor::new(Vec::new());
    drawn.write_to(&mut png, ImageFormat::Png).unwrap();
    let masks = [png.into_inner(), b"no image".to_vec()];
    for (source, mask) in ["0", "1"].into_iter().zip(masks) {
        let photo = NewPhoto {
            name: String::new(),
            source: source.to_owned(),
            file: "f".to_owned(),
            thumbnail: "t".to_owned(),
            mask: None,
            size: (500, 20),
            caption: String::new(),
        };
        let (photo, _) = store.add_photo(project, subject.id(), &photo).await.unwrap();
        let mask = keeping.put(mask, "png").await.unwrap();
        let write = sqlx::query("update photos set mask = ? where id = ?").bind(mask).bind(photo.id);
        write.execute(&store.writer).await.unwrap();
    }
    drop(keeping);
    assert_eq!(store.bare_masks().await.unwrap().len(), 2);
    crate::server::outlines::complete(&store).await.unwrap();
    let photos = store.photos(project, None, Range { after: Uuid::nil(), limit: 9 }).await.unwrap().items;
    // One of which nobody knows what it covers is not taken for empty, and so not made anew.
    let known = (Some(Rect::new(7, 3, 1, 1)), Some(Rect::new(0, 0, 500, 20)));
    assert_eq!((photos[0].bounds, photos[1].bounds), known);
    store.sweep(project).await.unwrap();
    let small = store.photo_file(project, photos[0].id).await.unwrap().mask_thumbnail.unwrap();
    let small = store.blobs().read(project, &small).await.unwrap();
    assert_eq!(image::load_from_memory(&small).unwrap().width(), 384);
    // What cannot be read keeps nobody from starting, and stays.
    assert_eq!(store.bare_masks().await.unwrap().len(), 1);
}
