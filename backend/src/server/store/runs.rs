//! Training runs, and what they train on.

use mudi_domain::api::{JobKind, JobState, NewRun, Page, Run};
use mudi_domain::layout::{Layout, LayoutError, Placement};
use mudi_domain::prompt;
use mudi_domain::recipe::Recipe;
use mudi_domain::subject::SubjectId;
use uuid::Uuid;

use super::jobs::{insert_job, state};
use super::subjects::subject_id;
use super::{Range, Store, StoreError, from_column, new_id, now, to_column};

/// A run with what training needs.
pub(crate) struct RunData {
    /// The run.
    pub(crate) run: Run,
    /// Its photos, subject by subject.
    pub(crate) photos: Vec<RunPhoto>,
}

impl RunData {
    /// The place of a photo among those of its subject, by the number that layouts call it; `None` is the first.
    fn place(&self, subject: &SubjectId, number: Option<usize>) -> Option<usize> {
        let mut photos = self.photos.iter().filter(|photo| photo.subject == *subject);
        photos.position(|photo| number.is_none_or(|number| photo.number as usize == number))
    }

    /// A layout that names photos by their places among those of the run, as data sets have them, of one that names them by number.
    ///
    /// # Errors
    /// The run has no such photo.
    pub(crate) fn by_place(&self, layout: &Layout) -> Result<Layout, LayoutError> {
        let mut layout = layout.clone();
        for Placement { subject, photo, .. } in &mut layout.subjects {
            let missing = || LayoutError::Missing { subject: subject.clone(), photo: *photo };
            *photo = Some(self.place(subject, *photo).ok_or_else(missing)?);
        }
        Ok(layout)
    }

    /// A layout that names photos by number, of one that names them by their places.
    pub(crate) fn by_number(&self, mut layout: Layout) -> Layout {
        for Placement { subject, photo, .. } in &mut layout.subjects {
            let mut photos = self.photos.iter().filter(|photo| photo.subject == *subject);
            *photo = photo.and_then(|place| photos.nth(place)).map(|photo| photo.number as usize);
        }
        layout
    }
}

/// A photo as it was when its run was made.
pub(crate) struct RunPhoto {
    /// Whose photo it is.
    pub(crate) subject: SubjectId,
    /// What layouts call it.
    pub(crate) number: u32,
    /// The subject's name.
    pub(crate) subject_name: String,
    /// The photo's file.
    pub(crate) file: String,
    /// The mask's file.
    pub(crate) mask: String,
    /// The caption, never empty.
    pub(crate) caption: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    base: String,
    recipe: String,
    photos: u32,
    subjects: String,
    job: Uuid,
    state: String,
    created: i64,
}

impl Row {
    fn run(self) -> Result<Run, StoreError> {
        Ok(Run {
            id: self.id,
            name: self.name,
            base: self.base,
            recipe: from_column("recipe", &self.recipe)?,
            photos: self.photos,
            subjects: from_column("subjects", &self.subjects)?,
            job: self.job,
            state: state(&self.state)?,
            created: self.created,
        })
    }
}

/// A photo that a new run takes: its subject, its number, the subject's name, its id, its file, its mask's and its caption.
type Taken = (String, u32, String, Uuid, String, Option<String>, String);

const SELECT: &str = "select runs.id, runs.name, base, recipe, job, jobs.state, runs.created,
    (select count(*) from run_photos where run = runs.id) photos,
    (select json_group_array(json_object('id', subject, 'name', subject_name)) from
        (select subject, subject_name from run_photos where run = runs.id group by subject order by min(position))) subjects
    from runs join jobs on jobs.id = runs.job where runs.project = ";

impl Store {
    /// Makes a run of the project's photos as they are now, and the job that trains it.
    pub(crate) async fn create_run(&self, project: Uuid, new: &NewRun) -> Result<Run, StoreError> {
        let recipe: &Recipe = &new.recipe;
        let mut changes = self.begin().await?;
        let photos: Vec<Taken> = sqlx::query_as(
            "select subjects.id, photos.number, subjects.name, photos.id, photos.file, photos.mask, photos.caption
             from photos join subjects on subjects.project = photos.project and subjects.id = photos.subject
             where photos.project = ? order by subjects.position, photos.id",
        )
        .bind(project)
        .fetch_all(&mut *changes)
        .await?;
        if photos.is_empty() {
            return Err(StoreError::Conflict(
                "the project has no photos; upload some, and draw masks".into(),
            ));
        }
        let (id, job) = (new_id(), new_id());
        insert_job(&mut changes, project, job, JobKind::Train, Some(id), "{}").await?;
        sqlx::query(
            "insert into runs (id, project, job, name, base, recipe, created) values (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(project)
        .bind(job)
        .bind(&new.name)
        .bind(&new.base)
        .bind(to_column("recipe", recipe)?)
        .bind(now())
        .execute(&mut *changes)
        .await?;
        for (position, (subject, number, name, photo, file, mask, caption)) in photos.into_iter().enumerate()
        {
            let mask = mask.ok_or_else(|| {
                StoreError::Conflict(format!(
                    "photo {photo} of subject `{subject}` has no mask; draw one, or delete the photo"
                ))
            })?;
            sqlx::query(
                "insert into run_photos (run, position, subject, number, subject_name, file, mask, caption)
                 values (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(id)
            .bind(position as i64)
            .bind(subject)
            .bind(number)
            .bind(&name)
            .bind(file)
            .bind(mask)
            .bind(if caption.is_empty() { prompt::photo(&name) } else { caption })
            .execute(&mut *changes)
            .await?;
        }
        changes.commit().await?;
        self.run(project, id).await
    }

    /// Keeps how many seconds a step of a run takes.
    pub(crate) async fn note_pace(&self, run: Uuid, seconds: f64) -> Result<(), StoreError> {
        sqlx::query("update runs set step_seconds = ? where id = ?")
            .bind(seconds)
            .bind(run)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The recipes of the latest runs on a base, of all projects, each with the seconds that its steps took.
    pub(crate) async fn paces(&self, base: &str) -> Result<Vec<(Recipe, f64)>, StoreError> {
        const LATEST: u32 = 20;
        let rows: Vec<(String, f64)> = sqlx::query_as(
            "select recipe, step_seconds from runs where base = ? and step_seconds is not null
             order by id desc limit ?",
        )
        .bind(base)
        .bind(LATEST)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(|(recipe, seconds)| Ok((from_column("recipe", &recipe)?, seconds))).collect()
    }

    /// The runs of a project, oldest first.
    pub(crate) async fn runs(&self, project: Uuid, range: Range) -> Result<Page<Run>, StoreError> {
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query.push_bind(project).push(" and runs.id > ").push_bind(range.after);
        query.push(" order by runs.id limit ").push_bind(range.fetch());
        let rows: Vec<Row> = query.build_query_as().fetch_all(&self.readers).await?;
        range.page(rows, |row| row.id, Row::run)
    }

    /// A run.
    pub(crate) async fn run(&self, project: Uuid, id: Uuid) -> Result<Run, StoreError> {
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query.push_bind(project).push(" and runs.id = ").push_bind(id);
        let row: Option<Row> = query.build_query_as().fetch_optional(&self.readers).await?;
        row.ok_or(StoreError::Missing("run"))?.run()
    }

    /// A run and what it trains on.
    pub(crate) async fn run_data(&self, project: Uuid, id: Uuid) -> Result<RunData, StoreError> {
        let run = self.run(project, id).await?;
        let rows: Vec<(String, u32, String, String, String, String)> = sqlx::query_as(
            "select subject, number, subject_name, file, mask, caption from run_photos where run = ? order by position",
        )
        .bind(id)
        .fetch_all(&self.readers)
        .await?;
        let photo = |(subject, number, subject_name, file, mask, caption): (String, _, _, _, _, _)| {
            Ok(RunPhoto { subject: subject_id(&subject)?, number, subject_name, file, mask, caption })
        };
        Ok(RunData { run, photos: rows.into_iter().map(photo).collect::<Result<_, StoreError>>()? })
    }

    /// Deletes a run that is over, its job and its files; images that were made with it stay.
    pub(crate) async fn delete_run(&self, project: Uuid, id: Uuid) -> Result<(), StoreError> {
        let job = self.run(project, id).await?.job;
        // In one statement: nobody can begin to use the run between the question and the deletion.
        let done = self.with_room(|| async move {
            let delete = sqlx::query(
                "delete from jobs where id = ?1 and state <> 'running' and not exists (
                    select 1 from jobs other where other.project = ?2 and other.run = ?3 and other.id <> ?1
                        and other.state not in ('done', 'failed', 'cancelled'))",
            );
            Ok(delete.bind(job).bind(project).bind(id).execute(&self.writer).await?)
        });
        if done.await?.rows_affected() == 0 {
            return Err(StoreError::Conflict(match self.run(project, id).await?.state {
                JobState::Running => "the run is being trained; cancel its job first".into(),
                _ => "pictures are being made with the run; wait for them, or cancel them first".into(),
            }));
        }
        self.sweep(project).await
    }
}
