//! All rows of a project, to copy it to another place.

use std::collections::{BTreeMap, BTreeSet};

use mudi_domain::api::{JobEvent, JobFault};
use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::events::insert_event;
use super::jobs::state;
use super::photos::set_mask;
use super::{NewMask, Store, StoreError, new_id};

/// A table of a project: its rows, as they are written to a file, and how they are read and added.
macro_rules! tables {
    ($($(#[$meta:meta])* $table:ident: $Row:ident, $select:literal {
        $($(#[$field_meta:meta])* $field:ident: $Type:ty,)*
    })*) => {
        $($(#[$meta])*
        #[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $Row { $($(#[$field_meta])* pub(crate) $field: $Type,)* })*

        /// What a project has, without its name. Links and sessions are not part of it.
        #[derive(Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct ProjectRows { $($(#[$meta])* pub(crate) $table: Vec<$Row>,)* }

        impl ProjectRows {
            async fn read(reading: &mut Transaction<'static, Sqlite>, project: Uuid) -> Result<Self, StoreError> {
                Ok(Self { $($table: sqlx::query_as($select).bind(project).fetch_all(&mut **reading).await?,)* })
            }
        }
    };
}

tables! {
    /// The subjects, in their order.
    subjects: SubjectRow, "select id, name, next_photo from subjects where project = ? order by position" {
        id: String,
        name: String,
        /// The number of the next photo. Archives before version 3 do not say numbers.
        #[serde(default)]
        next_photo: Option<u32>,
    }
    /// The photos.
    photos: PhotoRow, "select id, subject, number, name, source, file, thumbnail, mask, width, height, caption, created
        from photos where project = ? order by id" {
        id: Uuid,
        subject: String,
        #[serde(default)]
        number: Option<u32>,
        name: String,
        source: String,
        file: String,
        thumbnail: String,
        mask: Option<String>,
        width: u32,
        height: u32,
        caption: String,
        created: i64,
        /// The mask with its small one and its bounding box. Archives have the mask only: the rest is made of it.
        #[serde(skip)]
        #[sqlx(skip)]
        outlined: Option<NewMask>,
    }
    /// Recipes and layouts.
    documents: DocumentRow, "select id, kind, name, value, created from documents where project = ? order by id" {
        id: Uuid,
        kind: String,
        name: String,
        value: String,
        created: i64,
    }
    /// The jobs.
    jobs: JobRow, "select id, kind, state, run, request, stage, step, steps, created, started, finished,
        fault_code, fault_detail, made from jobs where project = ? order by id" {
        id: Uuid,
        kind: String,
        state: String,
        run: Option<Uuid>,
        request: String,
        stage: String,
        step: i64,
        steps: i64,
        created: i64,
        started: Option<i64>,
        finished: Option<i64>,
        fault_code: Option<String>,
        fault_detail: Option<String>,
        /// Archives of version 1 do not say it.
        #[serde(default)]
        made: u32,
    }
    /// The training runs.
    runs: RunRow, "select id, job, name, base, recipe, created from runs where project = ? order by id" {
        id: Uuid,
        job: Uuid,
        name: String,
        base: String,
        recipe: String,
        created: i64,
    }
    /// What the runs train on.
    run_photos: RunPhotoRow, "select run, position, subject, number, subject_name, file, mask, caption from run_photos
        where run in (select id from runs where project = ?) order by run, position" {
        run: Uuid,
        position: i64,
        subject: String,
        #[serde(default)]
        number: Option<u32>,
        subject_name: String,
        file: String,
        mask: String,
        caption: String,
    }
    /// The generated images.
    images: ImageRow, "select id, job, run, number, file, thumbnail, canvas, width, height, seed, parameters, score,
        created from images where project = ? order by id" {
        id: Uuid,
        job: Uuid,
        run: Option<Uuid>,
        number: u32,
        file: String,
        thumbnail: String,
        canvas: Option<String>,
        width: u32,
        height: u32,
        seed: i64,
        parameters: String,
        score: Option<String>,
        created: i64,
    }
}

impl ProjectRows {
    /// Every file that some row needs, each once.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        let photos = self.photos.iter();
        let photos =
            photos.flat_map(|photo| [Some(&photo.file), Some(&photo.thumbnail), photo.mask.as_ref()]);
        let runs = self.run_photos.iter().flat_map(|photo| [Some(&photo.file), Some(&photo.mask)]);
        let images = self.images.iter();
        let images =
            images.flat_map(|image| [Some(&image.file), Some(&image.thumbnail), image.canvas.as_ref()]);
        photos.chain(runs).chain(images).flatten().map(String::as_str).collect()
    }

    /// Gives every row an id of its own, in the old order, and returns what has become of the old ids.
    ///
    /// # Errors
    /// An id that is there twice, or that names no row. Of a job, the run may have been deleted.
    pub(crate) fn renew(&mut self) -> Result<BTreeMap<Uuid, Uuid>, String> {
        let mut renewed = BTreeMap::new();
        let photos = self.photos.iter_mut().map(|row| &mut row.id);
        let documents = self.documents.iter_mut().map(|row| &mut row.id);
        let jobs = self.jobs.iter_mut().map(|row| &mut row.id);
        let runs = self.runs.iter_mut().map(|row| &mut row.id);
        let images = self.images.iter_mut().map(|row| &mut row.id);
        for id in photos.chain(documents).chain(jobs).chain(runs).chain(images) {
            let new = new_id();
            if renewed.insert(*id, new).is_some() {
                return Err(format!("the id {id} is there twice"));
            }
            *id = new;
        }
        for row in &mut self.jobs {
            row.run = row.run.and_then(|id| renewed.get(&id).copied());
        }
        let of_runs = self.runs.iter_mut().map(|row| &mut row.job);
        let of_photos = self.run_photos.iter_mut().map(|row| &mut row.run);
        let of_images =
            self.images.iter_mut().flat_map(|row| [Some(&mut row.job), row.run.as_mut()]).flatten();
        for id in of_runs.chain(of_photos).chain(of_images) {
            *id = *renewed.get(id).ok_or_else(|| format!("nothing has the id {id}"))?;
        }
        Ok(renewed)
    }
}

impl Store {
    /// All rows of a project, as they are at one moment, and its name.
    pub(crate) async fn project_rows(&self, project: Uuid) -> Result<(String, ProjectRows), StoreError> {
        let mut reading = self.readers.begin().await?;
        let name: Option<String> = sqlx::query_scalar("select name from projects where id = ?")
            .bind(project)
            .fetch_optional(&mut *reading)
            .await?;
        let name = name.ok_or(StoreError::Missing("project"))?;
        Ok((name, ProjectRows::read(&mut reading, project).await?))
    }

    /// Adds a project with all its rows, or nothing of it. Its files must be kept already.
    pub(crate) async fn add_project(
        &self,
        project: Uuid,
        name: &str,
        rows: &ProjectRows,
    ) -> Result<(), StoreError> {
        let mut changes = self.begin().await?;
        sqlx::query("insert into projects (id, name, created) values (?, ?, ?)")
            .bind(project)
            .bind(name)
            .bind(super::now())
            .execute(&mut *changes)
            .await?;
        for (position, row) in (1_i64..).zip(&rows.subjects) {
            sqlx::query(
                "insert into subjects (project, id, name, position, next_photo) values (?, ?, ?, ?, ?)",
            )
            .bind(project)
            .bind(&row.id)
            .bind(&row.name)
            .bind(position)
            .bind(row.next_photo.unwrap_or(0))
            .execute(&mut *changes)
            .await?;
        }
        for row in &rows.photos {
            add_photo(&mut changes, project, row).await?;
        }
        for row in &rows.documents {
            sqlx::query(
                "insert into documents (id, project, kind, name, value, created) values (?, ?, ?, ?, ?, ?)",
            )
            .bind(row.id)
            .bind(project)
            .bind(&row.kind)
            .bind(&row.name)
            .bind(&row.value)
            .bind(row.created)
            .execute(&mut *changes)
            .await?;
        }
        for row in &rows.jobs {
            // Where the archive does not say how many pictures the job has made, those that are there tell it.
            let images = rows.images.iter().filter(|image| image.job == row.id);
            let made = images.map(|image| image.number.saturating_add(1)).fold(row.made, u32::max);
            add_job(&mut changes, project, row, made).await?;
        }
        for row in &rows.runs {
            sqlx::query(
                "insert into runs (id, project, job, name, base, recipe, created) values (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(row.id)
            .bind(project)
            .bind(row.job)
            .bind(&row.name)
            .bind(&row.base)
            .bind(&row.recipe)
            .bind(row.created)
            .execute(&mut *changes)
            .await?;
        }
        for row in &rows.run_photos {
            sqlx::query(
                "insert into run_photos (run, position, subject, number, subject_name, file, mask, caption)
                 values (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(row.run)
            .bind(row.position)
            .bind(&row.subject)
            .bind(row.number.unwrap_or(0))
            .bind(&row.subject_name)
            .bind(&row.file)
            .bind(&row.mask)
            .bind(&row.caption)
            .execute(&mut *changes)
            .await?;
        }
        for row in &rows.images {
            add_image(&mut changes, project, row).await?;
        }
        Ok(changes.commit().await?)
    }
}

async fn add_photo(
    changes: &mut Transaction<'static, Sqlite>,
    project: Uuid,
    row: &PhotoRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into photos (id, project, subject, number, name, source, file, thumbnail, width, height, caption, created)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.id)
    .bind(project)
    .bind(&row.subject)
    .bind(row.number.unwrap_or(0))
    .bind(&row.name)
    .bind(&row.source)
    .bind(&row.file)
    .bind(&row.thumbnail)
    .bind(row.width)
    .bind(row.height)
    .bind(&row.caption)
    .bind(row.created)
    .execute(&mut **changes)
    .await?;
    set_mask(changes, row.id, row.outlined.as_ref()).await
}

async fn add_job(
    changes: &mut Transaction<'static, Sqlite>,
    project: Uuid,
    row: &JobRow,
    made: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into jobs (id, project, kind, state, run, request, stage, step, steps, created, started, finished,
            fault_code, fault_detail, made)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.id)
    .bind(project)
    .bind(&row.kind)
    .bind(&row.state)
    .bind(row.run)
    .bind(&row.request)
    .bind(&row.stage)
    .bind(row.step)
    .bind(row.steps)
    .bind(row.created)
    .bind(row.started)
    .bind(row.finished)
    .bind(&row.fault_code)
    .bind(&row.fault_detail)
    .bind(made)
    .execute(&mut **changes)
    .await?;
    // Whoever listens to the copy is told how the job stands.
    let fault = row
        .fault_code
        .clone()
        .map(|code| JobFault { code, detail: row.fault_detail.clone().unwrap_or_default() });
    insert_event(changes, row.id, &JobEvent::State { state: state(&row.state)?, fault }).await?;
    Ok(())
}

async fn add_image(
    changes: &mut Transaction<'static, Sqlite>,
    project: Uuid,
    row: &ImageRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into images (id, project, job, run, number, file, thumbnail, canvas, width, height, seed, parameters,
            score, created)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.id)
    .bind(project)
    .bind(row.job)
    .bind(row.run)
    .bind(row.number)
    .bind(&row.file)
    .bind(&row.thumbnail)
    .bind(&row.canvas)
    .bind(row.width)
    .bind(row.height)
    .bind(row.seed)
    .bind(&row.parameters)
    .bind(&row.score)
    .bind(row.created)
    .execute(&mut **changes)
    .await?;
    Ok(())
}
